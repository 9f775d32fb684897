/** TLS options of `fetch` on Bun. */
import type { TlsTexts } from "../platform.ts";

/** See `Platform`. */
export function tlsFetchOptions({ ca, cert, key }: TlsTexts): RequestInit {
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const options: BunFetchRequestInit = Object.keys(tls).length === 0 ? {} : { tls };
  return options;
}
