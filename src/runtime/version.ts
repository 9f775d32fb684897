/** The version of this build. It comes from `package.json`; `scripts/build` inserts the commit. */
import { version } from "../../package.json";

declare const OSTIARY_COMMIT: string | null | undefined;

export const build = {
  version,
  bun: Bun.version,
  /** Null if the program runs from source. */
  commit: typeof OSTIARY_COMMIT === "undefined" ? null : OSTIARY_COMMIT,
} as const;
