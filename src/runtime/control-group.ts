/**
 * The memory and the processors that a container or a unit of systemd may use: the limits of this process's control
 * group, in version 1 or 2, and of the groups above it. Runtimes and `os.totalmem` only know those of the machine.
 */
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";

export interface ControlGroupLimits {
  /** Undefined without a limit. */
  readonly memoryBytes: number | undefined;
  /** How many processors; a part of one is possible. Undefined without a limit. */
  readonly processors: number | undefined;
}

/** The limits of this process; none on systems without control groups. `root` is the folder of the system's files. */
export function controlGroupLimits(root = "/"): ControlGroupLimits {
  const groups = (read(join(root, "proc/self/cgroup")) ?? "").split("\n").flatMap((line) => groupIn(line) ?? []);
  const folders = (controller: string): string[] =>
    groups
      .filter(({ controllers }) => controllers === "" || controllers.split(",").includes(controller))
      .flatMap(({ controllers, path }) => withParents(path).map((each) => join(root, mounts, controllers, each)));
  return {
    memoryBytes: least(folders("memory"), memoryLimit),
    processors: least(folders("cpu"), processorLimit),
  };
}

const mounts = "sys/fs/cgroup";

/** A line is `number:controllers:path`. That of version 2 has no controllers, and those of version 1 name their mount. */
function groupIn(line: string): { readonly controllers: string; readonly path: string } | undefined {
  const [, controllers, path] = /^\d+:([\w,]*):(\/.*)$/.exec(line) ?? [];
  return controllers === undefined || path === undefined ? undefined : { controllers, path };
}

/**
 * A group and those above it, up to the mount. In a container the mount can be the group itself while the path is that
 * of the machine; the folders of the path are missing then, and the mount is left.
 */
function withParents(path: string): string[] {
  const own = posix.normalize(path);
  return own === "/" ? [own] : [own, ...withParents(posix.dirname(own))];
}

function least(folders: readonly string[], limitIn: (folder: string) => number | undefined): number | undefined {
  const limits = folders.flatMap((folder) => limitIn(folder) ?? []);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

function memoryLimit(folder: string): number | undefined {
  const text = read(join(folder, "memory.max")) ?? read(join(folder, "memory.limit_in_bytes"));
  // Version 1 has a number near 2^63 for no limit, version 2 the word `max`.
  const bytes = Number(text ?? Number.NaN);
  return bytes > 0 && bytes < Number.MAX_SAFE_INTEGER ? bytes : undefined;
}

/** The time that the group may use in each period. */
function processorLimit(folder: string): number | undefined {
  const [quota, period] = read(join(folder, "cpu.max"))?.split(" ") ?? [
    read(join(folder, "cpu.cfs_quota_us")),
    read(join(folder, "cpu.cfs_period_us")),
  ];
  const processors = Number(quota) / Number(period);
  return processors > 0 && Number.isFinite(processors) ? processors : undefined;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
