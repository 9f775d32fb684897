/**
 * Programs of the system that tests need. Servers are in folders that are not on every user's PATH. A missing program is
 * a failure of its tests, so that no test is left out unnoticed.
 */
import * as Bun from "bun";

/** Its path; null without it. */
export const findProgram = (name: string): string | null =>
  Bun.which(name, { PATH: `${process.env["PATH"]}:/usr/local/sbin:/usr/sbin:/sbin` });

export function programPath(name: string): string {
  requirePrograms(name);
  return findProgram(name) ?? "";
}

/** Throws if one of them is missing. */
export function requirePrograms(...names: readonly string[]): void {
  const missing = names.filter((name) => findProgram(name) === null);
  if (missing.length > 0)
    throw new Error(
      `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} not installed: on Debian, \`scripts/test --integration\` as root installs what tests need`,
    );
}
