/** TLS options of `fetch` on Deno: an HTTP client with its own certificates. */
import type { TlsTexts } from "../platform.ts";

/** See `Platform`. */
export function tlsFetchOptions({ ca, cert, key }: TlsTexts): RequestInit {
  if (ca === undefined && cert === undefined && key === undefined) return {};
  const client = Deno.createHttpClient({
    ...(ca === undefined ? {} : { caCerts: [ca] }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
  return { client } as RequestInit;
}
