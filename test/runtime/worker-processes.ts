/** The processes that work aside, as the system sees them. */
import { readdirSync, readFileSync } from "node:fs";

/** Those that a process has started, with the state of each (`R` is at work). */
export function cellsOf(parent: number): { readonly pid: number; readonly state: string }[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const [state, parentPid] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      const isCell = readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0cell\0");
      return isCell && parentPid === String(parent) ? [{ pid: Number(pid), state: String(state) }] : [];
    } catch {
      // No process, or one that has just ended.
      return [];
    }
  });
}
