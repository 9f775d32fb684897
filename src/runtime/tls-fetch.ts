/** TLS options of `fetch` in this runtime. The standard has none. */

/** Certificates and keys in PEM format. */
export interface TlsTexts {
  /** The authorities to trust instead of those of the system. */
  readonly ca?: string | undefined;
  /** The client certificate and its private key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** To be merged with the standard options in the second argument of `fetch`. */
export function tlsFetchOptions({ ca, cert, key }: TlsTexts): RequestInit {
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const options: BunFetchRequestInit = Object.keys(tls).length === 0 ? {} : { tls };
  return options;
}
