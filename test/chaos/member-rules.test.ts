/** Faults are combined so that the cluster must only do what it promises. */
import { describe, expect, test } from "bun:test";
import { hostsOf } from "./cluster-plan.ts";
import { hostsFor, isAllowed, memberFaultKinds, together, type MemberFaultKind } from "./member-rules.ts";
import type { Host } from "./network.ts";

type Faults = Partial<Record<Host, MemberFaultKind>>;
const hosts = hostsOf({ members: { failover: true, ack: "edges:1" }, broker: "mosquitto" });
const mapOf = (faults: Faults) => new Map(Object.entries(faults) as [Host, MemberFaultKind][]);

describe("a fault is allowed", () => {
  test.each<[Faults, Host, MemberFaultKind]>([
    [{}, "node-a", "rolled-back directory"],
    [{ "etcd-a": "kill", "broker-a": "freeze" }, "node-a", "kill"],
    [{ "node-b": "wrong clock" }, "node-a", "torn file"],
    [{ "node-b": "rolled-back directory" }, "etcd-b", "engine without a quorum"],
    [{ "node-b": "freeze" }, "node-a", "kill"],
    [{ "node-b": "freeze" }, "fallback", "cut from the cluster"],
  ])("%p, %s: %s", (faults, host, kind) => expect(isAllowed(mapOf(faults), host, kind, true)).toBe(true));

  test("on each host that it is for, without other faults", () => {
    for (const kind of memberFaultKinds)
      for (const host of hostsFor(kind, hosts)) expect(isAllowed(mapOf({}), host, kind, false)).toBe(true);
  });
});

describe("a fault is not allowed", () => {
  test.each<[string, Faults, Host, MemberFaultKind]>([
    ["on the same host", { "node-a": "wrong clock" }, "node-a", "kill"],
    ["that loses data while another member is disturbed", { "node-b": "freeze" }, "node-a", "torn file"],
    ["while a member has lost data", { "node-b": "rolled-back directory" }, "node-a", "freeze"],
    ["on two members of etcd on their own", { "etcd-b": "kill" }, "etcd-a", "freeze"],
    ["that leaves reads without an answer", { fallback: "kill" }, "node-a", "kill"],
    ["that leaves reads without an answer", { "node-a": "cut from clients" }, "fallback", "freeze"],
    ["on a third member", { "node-a": "kill", "node-b": "kill" }, "node-c", "kill"],
  ])("%s: %p, %s: %s", (_, faults, host, kind) => expect(isAllowed(mapOf(faults), host, kind, true)).toBe(false));

  test("on a second member, unless two may be affected", () => {
    expect(isAllowed(mapOf({ "node-b": "freeze" }), "node-a", "kill", false)).toBe(false);
  });
});

test("members are together if they run and reach each other and the engine", () => {
  expect(together(mapOf({}))).toEqual(["node-a", "node-b", "node-c"]);
  expect(together(mapOf({ "node-a": "cut from clients", "node-b": "wrong clock" }))).toHaveLength(3);
  expect(together(mapOf({ "node-a": "cut from the engine", "etcd-a": "kill" }))).toEqual(["node-b", "node-c"]);
  expect(together(mapOf({ "node-a": "freeze", "node-b": "cut from the other nodes" }))).toEqual(["node-c"]);
});
