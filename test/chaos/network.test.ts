/**
 * The networks of a chaos run: a cut affects one link only, no one is notified, and bytes in flight arrive after the
 * repair.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { faultKinds, readersUnder, type FaultKind } from "./faults.ts";
import { missingForNamespaces } from "./namespaces.ts";
import { hosts, isBroker, type Host } from "./network.ts";

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
    timeout: 40_000,
  });
  const [status, output, errors] = await Promise.all([check.exited, check.stdout.text(), check.stderr.text()]);
  if (status !== 0) throw new Error(`the network check ended with status ${status}:\n${output}${errors}`);
  return JSON.parse(output);
}

test("proxies", async () => expect(await tryNetwork("proxies")).toEqual(seen), 45_000);

test.skipIf(missingForNamespaces() !== undefined)(
  "network namespaces (skipped if there can be none)",
  async () =>
    expect(await tryNetwork("namespaces")).toEqual({ ...seen, edgeCut: [false, true], edgeMended: [true, true] }),
  45_000,
);

describe("the nodes that answer every read", () => {
  const under = (faults: Partial<Record<Host, FaultKind>>): string[] =>
    readersUnder(new Map(Object.entries(faults) as [Host, FaultKind][]), hosts.filter(isBroker));

  test.each<[string[], Partial<Record<Host, FaultKind>>]>([
    [["edge-a", "edge-b", "fallback"], {}],
    [["edge-b", "fallback"], { "edge-a": "freeze" }],
    [["fallback"], { "edge-a": "kill", "edge-b": "cut from clients" }],
    [["fallback"], { primary: "kill" }],
    [["fallback"], { "broker-a": "kill", "broker-b": "freeze" }],
    [["edge-a", "edge-b", "fallback"], { "broker-a": "kill", fallback: "cut from the cluster" }],
    [["edge-b"], { fallback: "kill", "edge-a": "cut from the cluster" }],
    [[], { fallback: "freeze", primary: "cut from clients" }],
    [[], { fallback: "cut from clients", "edge-a": "kill", "edge-b": "kill" }],
  ])("%p under %p", (readers, faults) => expect(under(faults)).toEqual(readers));

  test("are not empty during any single fault", () => {
    for (const host of hosts) for (const kind of faultKinds) expect(under({ [host]: kind })).not.toEqual([]);
  });
});
