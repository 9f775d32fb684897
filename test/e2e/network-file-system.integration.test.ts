/**
 * A data directory on a network file system: `bindfs` stands for one, since all file systems behind FUSE that may be
 * remote are treated alike. Nodes refuse it, and backups are written to it and restored from it.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { mountTypeOf } from "../../src/store/directory/network-file-system.ts";
import { programPath } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "ostiary-network-"));
const mounted = join(folder, "mounted");
const isMounted = mount();

afterAll(() => {
  if (isMounted) Bun.spawnSync(["umount", "-l", mounted]);
  rmSync(folder, { recursive: true, force: true });
});

/** Only the superuser may mount, and containers often may not. */
function mount(): boolean {
  const [bindfs, source] = [programPath("bindfs"), join(folder, "source")];
  mkdirSync(source);
  mkdirSync(mounted);
  if (process.getuid?.() !== 0 || !existsSync("/dev/fuse")) return false;
  return Bun.spawnSync([bindfs, source, mounted], { timeout: 10_000 }).success;
}

describe.skipIf(!isMounted)("a network file system (skipped where nothing may be mounted)", () => {
  const nodeKey = randomHex(32);
  const environment = { PATH: process.env["PATH"] ?? "", OSTIARY_NODE_KEY: nodeKey, OSTIARY_ADMIN_KEY: newAdminKey() };
  let binary = "";
  beforeAll(async () => {
    binary = await builtBinary();
  }, 120_000);

  const run = (...parameters: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([binary, ...parameters], { env: environment, timeout: 20_000 });
    return { status: exitCode, output: stdout.toString(), errors: stderr.toString() };
  };
  // `fuse.bindfs`, or `fuse` where `mount.fuse` was not involved.
  const mountType = mountTypeOf(mounted, readFileSync("/proc/self/mountinfo", "utf8"));
  const refusal = (data: string): string =>
    `error: the data directory \`${data}\` is on a FUSE file system (\`${mountType}\`), where SQLite's shared memory and locks are not reliable`;

  test("is refused as the data directory of a node of any role, which leaves nothing there", () => {
    const data = join(mounted, "data");
    const follows = ["--primary", "http://127.0.0.1:9"];
    for (const role of [
      ["primary"],
      ["edge", ...follows],
      ["fallback", ...follows],
      ["fallback", "--follow", "true", ...follows],
    ])
      expect(run("serve", "--port", "0", "--mqtt-port", "0", "--data", data, "--role", ...role)).toEqual({
        status: 1,
        output: "",
        errors: expect.stringContaining(refusal(data)),
      });
    expect(readdirSync(mounted)).toEqual([]);
  });

  test("takes backups, and a restored database that no node uses there", async () => {
    const [backup, restored] = [join(mounted, "a.backup"), join(mounted, "restored")];
    const directory = join(folder, "primary");
    const port = await freePort();
    const settings = { ...environment, OSTIARY_MQTT_PORT: "0" };
    const node = new NodeProcess({ binary, name: "primary", role: "primary", port, directory, environment: settings });
    await node.start();
    expect(run("backup", "--data", directory, "--out", backup)).toMatchObject({ status: 0 });
    expect(await node.stop()).toBe(0);
    expect(run("restore", backup, "--data", restored)).toMatchObject({ status: 0 });
    const served = run("serve", "--role", "primary", "--port", "0", "--mqtt-port", "0", "--data", restored);
    expect(served.errors).toContain(refusal(restored));
    expect(run("restore", backup, "--data", join(folder, "local"))).toMatchObject({ status: 0 });
  }, 90_000);
});
