/** Client options of TLS for `fetch`, in the form of this runtime: the standard has none. */

/** PEM texts. */
export interface TlsTexts {
  /** The authorities to trust instead of the system's. */
  readonly ca?: string | undefined;
  /** The client certificate and its private key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Goes into the second argument of `fetch` together with the standard options. */
export function tlsFetchOptions({ ca, cert, key }: TlsTexts): RequestInit {
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const options: BunFetchRequestInit = Object.keys(tls).length === 0 ? {} : { tls };
  return options;
}
