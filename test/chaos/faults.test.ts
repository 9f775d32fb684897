/** The nodes that answer reads during faults. */
import { describe, expect, test } from "bun:test";
import { faultKinds, readersUnder, type FaultKind } from "./faults.ts";
import { hosts, isBroker, type Host } from "./network.ts";

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
