/** `fetch` on Bun: its errors have the codes of the system. */
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

/** See `Platform`. */
export function withSystemCode(error: unknown): unknown {
  return error;
}
