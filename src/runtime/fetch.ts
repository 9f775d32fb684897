/** `fetch` with what the standard leaves out: codes of network errors, and certificates. */
import { platform } from "#platform";

export type { TlsTexts } from "./platform.ts";

/** To be merged with the standard options in the second argument of `fetch`. */
export const { tlsFetchOptions } = platform;

/** The standard function. If the network fails, its error has the code of the system, such as `ECONNREFUSED`. */
export async function fetch(url: string, init: RequestInit): Promise<Response> {
  try {
    return await globalThis.fetch(url, init);
  } catch (error) {
    throw platform.withSystemCode(error);
  }
}
