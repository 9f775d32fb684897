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

/** See `Platform`. */
export function withSystemCode(error: unknown): unknown {
  const message = String((error as { readonly cause?: { readonly message?: unknown } }).cause?.message ?? "");
  const number = /\(os error (\d+)\)/.exec(message)?.[1];
  const code =
    number !== undefined
      ? getSystemErrorName(-Number(number))
      : message.includes("dns error")
        ? "ENOTFOUND"
        : undefined;
  return code === undefined ? error : Object.assign(error as Error, { code });
}
