/** Worker processes, as the operating system lists them. */
import { readdirSync, readFileSync } from "node:fs";

/** The worker processes that a process has started, with the state of each (`R` means running). */
export function workerProcessesOf(parent: number): { readonly pid: number; readonly state: string }[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const [state, parentPid] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      const isWorkerProcess = readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0worker-process\0");
      return isWorkerProcess && parentPid === String(parent) ? [{ pid: Number(pid), state: String(state) }] : [];
    } catch {
      // Not a process, or a process that has just ended.
      return [];
    }
  });
}
