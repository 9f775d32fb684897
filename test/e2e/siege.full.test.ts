/** A short run of `scripts/siege`: all bounds that do not depend on the speed of the machine. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import type { SiegeOutcome } from "../siege/siege.ts";
import { eventually } from "./cluster.ts";

test("a short siege: no read fails, no node exits, memory is released, nothing acknowledged is lost", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-siege-test-"));
  try {
    await builtBinary();
    const file = join(folder, "outcome.json");
    const script = join(projectRoot, "scripts", "siege.ts");
    const run = Bun.spawn([process.execPath, script, "--seconds", "30", "--seed", "7", "--json", file], {
      env: { ...process.env, TMPDIR: folder },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 200_000,
    });
    const [status, output, progress] = await Promise.all([run.exited, run.stdout.text(), run.stderr.text()]);
    if (status !== 0 && status !== 1) throw new Error(progress + output);
    const { ok, seed, reads, verdicts, phases } = JSON.parse(readFileSync(file, "utf8")) as SiegeOutcome;
    expect({ ok, seed }).toEqual({ ok: status === 0, seed: 7 });
    const broken = verdicts.filter((row) => row.ok === false && !dependsOnTheMachine.test(row.what));
    if (broken.length > 0) throw new Error(progress + output);
    expect(reads).toBeGreaterThan(1000);
    expect(phases.length).toBeGreaterThan(15);
    rmSync(file);
    await eventually(() => Promise.resolve(programsIn(folder).length === 0), "all programs end");
    expect(readdirSync(folder)).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 210_000);

/**
 * The bounds of speed, which a short run does not check. `scripts/siege` compares them with a bare server for minutes.
 */
const dependsOnTheMachine = /^(?:authorize p99|random requests sent)/;

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
