/** A short run of `scripts/chaos`, and the cleanup after an interrupted one. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { diskFaultKinds } from "../chaos/disks.ts";
import { missingForNamespaces } from "../chaos/namespaces.ts";
import type { Outcome } from "../chaos/chaos-run.ts";
import { eventually } from "./cluster.ts";

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-chaos-test-"));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function chaos(folder: string, ...parameters: string[]) {
  return Bun.spawn([process.execPath, join(projectRoot, "scripts", "chaos.ts"), ...parameters], {
    env: { ...process.env, TMPDIR: folder },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 170_000,
  });
}

test(
  "25 seconds of chaos: nothing is lost, nothing is wrong, every read is answered, and no node ends",
  () =>
    withFolder(async (folder) => {
      await builtBinary();
      const file = join(folder, "outcome.json");
      const run = chaos(folder, "--seconds", "25", "--seed", "7", "--json", file);
      const [status, output, progress] = await Promise.all([run.exited, run.stdout.text(), run.stderr.text()]);
      expect({ status, told: status === 0 ? "" : progress + output }).toEqual({ status: 0, told: "" });

      const outcome = JSON.parse(readFileSync(file, "utf8")) as Outcome;
      const { ok, faults, writes, reads, disks, verdicts } = outcome;
      expect({ ok, broken: verdicts.filter((row) => row.ok === false) }).toEqual({ ok: true, broken: [] });
      const counts = Object.values(faults).flatMap((byHost) => Object.values(byHost));
      expect(counts.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(8);
      expect(Object.values(faults).filter((byHost) => Object.keys(byHost).length > 0).length).toBeGreaterThanOrEqual(3);
      // Faults that this machine does not permit are skipped.
      const onDisks = diskFaultKinds.filter((kind) => Object.keys(faults[kind] ?? {}).length > 0);
      if (Object.keys(disks.missing).length === 0) expect(onDisks).not.toEqual([]);
      expect(writes.acknowledged).toBeGreaterThan(500);
      expect(reads).toBeGreaterThan(500);
      expect(output).toContain("passed");
    }),
  180_000,
);

test.skipIf(missingForNamespaces() !== undefined)(
  "45 seconds of chaos with failover (skipped without network namespaces): nothing acknowledged is lost, and one primary acknowledges at a time",
  () =>
    withFolder(async (folder) => {
      await builtBinary();
      const file = join(folder, "outcome.json");
      const run = chaos(folder, "--failover", "etcd", "--seconds", "45", "--seed", "5", "--json", file);
      const [status, output, progress] = await Promise.all([run.exited, run.stdout.text(), run.stderr.text()]);
      expect({ status, told: status === 0 ? "" : progress + output }).toEqual({ status: 0, told: "" });
      const { ok, writes, primaries, verdicts } = JSON.parse(readFileSync(file, "utf8")) as Outcome;
      expect({ ok, broken: verdicts.filter((row) => row.ok === false) }).toEqual({ ok: true, broken: [] });
      // The first promotion, and at least one because of a fault.
      expect(primaries?.terms).toBeGreaterThan(1);
      expect(writes.acknowledged).toBeGreaterThan(500);
    }),
  180_000,
);

test.each([
  ["proxies", ["--proxies"]],
  ["namespaces, where there can be any", []],
])(
  "an interrupted run leaves no processes and files, with %s",
  (_, flags) =>
    withFolder(async (folder) => {
      await builtBinary();
      const before = namespaces();
      const run = chaos(folder, "--seconds", "60", ...flags);
      let told = "";
      for await (const chunk of run.stderr) {
        told += new TextDecoder().decode(chunk);
        if (/^\d.* s: /m.test(told)) break;
      }
      expect(programsIn(folder).length).toBeGreaterThanOrEqual(4);
      run.kill("SIGTERM");
      expect(await run.exited).not.toBe(0);
      await eventually(() => Promise.resolve(programsIn(folder).length === 0), "all programs end");
      expect(readdirSync(folder)).toEqual([]);
      expect(namespaces().filter((name) => !before.includes(name))).toEqual([]);
    }),
  90_000,
);

const namespaces = (): string[] => {
  const folder = "/run/netns";
  return existsSync(folder) ? readdirSync(folder) : [];
};

/** The processes whose working directory is in the folder. */
function programsIn(folder: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(folder);
    } catch {
      return false;
    }
  });
}
