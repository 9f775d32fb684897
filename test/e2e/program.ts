/** The path of a program of the system; servers are in folders that are not on every user's PATH. */
import * as Bun from "bun";
export const findProgram = (name: string): string | null =>
  Bun.which(name, { PATH: `${process.env["PATH"]}:/usr/local/sbin:/usr/sbin:/sbin` });

export function programPath(name: string): string {
  const path = findProgram(name);
  if (path === null) throw new Error(`${name} is not installed; scripts/test installs it where it can`);
  return path;
}
