/** `fetch` on Deno: certificates belong to an HTTP client, and errors of the system stand in the message of the cause. */
import { getSystemErrorName } from "node:util";
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

/** See `Platform`. The message becomes that of the cause, without the URL: Deno's own one is always the same. */
export function withSystemCode(error: unknown): unknown {
  const cause = String((error as { readonly cause?: { readonly message?: unknown } }).cause?.message ?? "");
  const [message] = /\b(?:client error \(|received fatal alert).*/s.exec(cause) ?? [];
  if (message === undefined) return error;
  const number = /\(os error (\d+)\)/.exec(message)?.[1];
  const code =
    number === undefined ? codes.find(([, part]) => message.includes(part))?.[0] : getSystemErrorName(-Number(number));
  return Object.assign(error as Error, { message }, code === undefined ? {} : { code });
}

const codes = [
  ["ENOTFOUND", "dns error"],
  ["ECONNRESET", "connection closed"],
  // The answer is an alert of TLS.
  ["ECONNRESET", "invalid HTTP version"],
  ["CERT_HAS_EXPIRED", "certificate expired"],
  ["CERT_NOT_YET_VALID", "certificate not valid yet"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "certificate not valid for name"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "invalid peer certificate"],
  ["EPROTO", "InvalidContentType"],
  ["EPROTO", "received fatal alert"],
] as const;
