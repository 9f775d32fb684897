/** Which build this is. The version is written once, in `package.json`; the commit is put in by `scripts/build`. */
import { version } from "../../package.json";

declare const OSTIARY_COMMIT: string | null | undefined;

export const build = {
  version,
  bun: Bun.version,
  /** Unknown when run from source. */
  commit: typeof OSTIARY_COMMIT === "undefined" ? null : OSTIARY_COMMIT,
} as const;
