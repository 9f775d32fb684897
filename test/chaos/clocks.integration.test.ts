/** A wrong clock affects only one process, and its monotonic clock stays right. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Clocks } from "./clocks.ts";

const print = `
setInterval(() => console.log(JSON.stringify([Date.now() / 1000, performance.now() / 1000])), 50);
`;

test.skipIf(new Clocks(tmpdir()).missing !== undefined)(
  "a clock is set wrong, and right again (skipped without libfaketime)",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostiary-clocks-"));
    const clocks = new Clocks(folder);
    const child = Bun.spawn([process.execPath, "-e", print], {
      env: { ...process.env, ...clocks.prepare("node") },
      stdout: "pipe",
    });
    try {
      const seen: number[] = [];
      for await (const chunk of child.stdout) {
        const last = new TextDecoder().decode(chunk).trim().split("\n").at(-1) ?? "";
        const [wall = 0, monotonic = 0] = JSON.parse(last) as number[];
        expect(monotonic).toBeLessThan(60);
        const wrong = Math.round((wall - Date.now() / 1000) / 10) * 10;
        if (wrong === seen.at(-1)) continue;
        seen.push(wrong);
        if (seen.length === 3) break;
        clocks.set("node", seen.length === 1 ? -3600 : 0);
      }
      expect(seen.map((seconds) => seconds + 0)).toEqual([0, -3600, 0]);
    } finally {
      child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    }
  },
  120_000,
);
