/**
 * The networks of a chaos run: a cut affects one link only, no one is notified, and bytes in flight arrive after the
 * repair.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { missingForNamespaces } from "./namespaces.ts";

const seen = {
  before: [true, true],
  clientsCut: [false, true],
  clientsMended: [true, true],
  clusterCut: [true, false],
  clusterMended: [true, true],
};

async function tryNetwork(kind: "namespaces" | "proxies"): Promise<unknown> {
  const check = Bun.spawn([process.execPath, join(import.meta.dirname, "network-check.ts"), kind], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 240_000,
  });
  const [status, output, errors] = await Promise.all([check.exited, check.stdout.text(), check.stderr.text()]);
  if (status !== 0) throw new Error(`the network check ended with status ${status}:\n${output}${errors}`);
  return JSON.parse(output);
}

test("proxies", async () => expect(await tryNetwork("proxies")).toEqual(seen), 250_000);

test.skipIf(missingForNamespaces() !== undefined)(
  "network namespaces (skipped if there can be none)",
  async () =>
    expect(await tryNetwork("namespaces")).toEqual({ ...seen, edgeCut: [false, true], edgeMended: [true, true] }),
  250_000,
);
