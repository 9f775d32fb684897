/** TLS options of `fetch`. The standard has none. */
import { platform } from "#platform";

export type { TlsTexts } from "./platform.ts";

/** To be merged with the standard options in the second argument of `fetch`. */
export const { tlsFetchOptions } = platform;
