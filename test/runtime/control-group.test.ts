/** Limits of control groups, from files as Linux has them. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { controlGroupLimits } from "../../src/runtime/control-group.ts";

const folder = mkdtempSync(join(tmpdir(), "ostiary-groups-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;

/** The limits on a machine with these files. */
function limitsWith(files: Readonly<Record<string, string>>) {
  const root = join(folder, String(count++));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${text}\n`);
  }
  return controlGroupLimits(root);
}

const groups = "sys/fs/cgroup";
const none = { memoryBytes: undefined, processors: undefined };

test("version 2, in a container with a namespace of its own", () => {
  const files = {
    "proc/self/cgroup": "0::/",
    [`${groups}/memory.max`]: "536870912",
    [`${groups}/cpu.max`]: "150000 100000",
  };
  expect(limitsWith(files)).toEqual({ memoryBytes: 536_870_912, processors: 1.5 });
});

test("version 2: the least limit of the group and of those above it", () => {
  const files = {
    "proc/self/cgroup": "0::/system.slice/ostiary.service",
    [`${groups}/system.slice/memory.max`]: "1073741824",
    [`${groups}/system.slice/cpu.max`]: "max 100000",
    [`${groups}/system.slice/ostiary.service/memory.max`]: "2147483648",
    [`${groups}/system.slice/ostiary.service/cpu.max`]: "50000 100000",
  };
  expect(limitsWith(files)).toEqual({ memoryBytes: 1_073_741_824, processors: 0.5 });
});

test("version 2 without limits", () => {
  const files = { "proc/self/cgroup": "0::/", [`${groups}/memory.max`]: "max", [`${groups}/cpu.max`]: "max 100000" };
  expect(limitsWith(files)).toEqual(none);
});

const versionOne = "12:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc";

test("version 1, in a container that sees only its own group, without the folders of the path", () => {
  const files = {
    "proc/self/cgroup": versionOne,
    [`${groups}/memory/memory.limit_in_bytes`]: "268435456",
    [`${groups}/cpu,cpuacct/cpu.cfs_quota_us`]: "200000",
    [`${groups}/cpu,cpuacct/cpu.cfs_period_us`]: "100000",
  };
  expect(limitsWith(files)).toEqual({ memoryBytes: 268_435_456, processors: 2 });
});

test("version 1 without limits", () => {
  const files = {
    "proc/self/cgroup": versionOne,
    [`${groups}/memory/docker/abc/memory.limit_in_bytes`]: "9223372036854771712",
    [`${groups}/cpu,cpuacct/docker/abc/cpu.cfs_quota_us`]: "-1",
    [`${groups}/cpu,cpuacct/docker/abc/cpu.cfs_period_us`]: "100000",
  };
  expect(limitsWith(files)).toEqual(none);
});

test("a path that leads out of the namespace stays in the mount", () => {
  const files = { "proc/self/cgroup": "0::/../../other", [`${groups}/memory.max`]: "1000000" };
  expect(limitsWith(files)).toEqual({ memoryBytes: 1_000_000, processors: undefined });
});

test("a system without control groups has no limits", () => expect(limitsWith({})).toEqual(none));

test("files with other contents are no limits", () => {
  const files = { "proc/self/cgroup": "0::/", [`${groups}/memory.max`]: "", [`${groups}/cpu.max`]: "0 0" };
  expect(limitsWith(files)).toEqual(none);
});
