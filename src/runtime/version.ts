/** The version of this build. It comes from `package.json`; `scripts/build` inserts the commit. */
import { platform } from "#platform";
import packageJson from "../../package.json" with { type: "json" };

declare const OSTIARY_COMMIT: string | null | undefined;

export const build = {
  version: packageJson.version,
  runtime: platform.name,
  runtimeVersion: platform.version,
  /** What this runtime cannot do, as a sentence; null if there is nothing. */
  restriction: platform.restriction,
  /** Null if the program runs from source. */
  commit: typeof OSTIARY_COMMIT === "undefined" ? null : OSTIARY_COMMIT,
} as const;
