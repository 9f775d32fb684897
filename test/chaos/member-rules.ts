/**
 * The faults that may be injected into a cluster with a changing primary, given its current faults. `--ack edges:1`
 * protects against one loss at a time, so a data directory is rolled back or damaged only while all other nodes are
 * healthy. And some node must be able to answer each read.
 */
import { etcdNames, isBroker, isEtcd, isMember, memberNames, type Host, type Member } from "./network.ts";

export const nodeFaultKinds = ["kill", "freeze", "cut from the cluster", "cut from clients"] as const;
export const linkFaultKinds = ["cut from the other nodes"] as const;
export const lossFaultKinds = ["rolled-back directory", "torn file"] as const;
export const engineFaultKinds = ["cut from the engine", "engine without a quorum", "lease taken away"] as const;
export const memberFaultKinds = [
  ...nodeFaultKinds,
  ...linkFaultKinds,
  ...engineFaultKinds,
  ...lossFaultKinds,
  "wrong clock",
  "promotion",
] as const;
export type MemberFaultKind = (typeof memberFaultKinds)[number];

export type Active = ReadonlyMap<Host, MemberFaultKind>;

/** These do not take a node away. */
const mildKinds: ReadonlySet<MemberFaultKind> = new Set(["wrong clock", "promotion", "lease taken away"]);
const isLoss = (kind: MemberFaultKind): boolean => (lossFaultKinds as readonly string[]).includes(kind);
/** A fallback with one of these still answers. */
const stillAnswers: ReadonlySet<MemberFaultKind> = new Set(["cut from the cluster"]);

/** The hosts that a kind may affect. */
export function hostsFor(kind: MemberFaultKind, hosts: readonly Host[]): readonly Host[] {
  switch (kind) {
    case "kill":
    case "freeze":
    case "cut from the cluster":
      return hosts;
    case "cut from clients":
      return hosts.filter((host) => isMember(host) || host === "fallback");
    case "engine without a quorum":
      return hosts.filter(isEtcd);
    default:
      return hosts.filter(isMember);
  }
}

/** `isSecond`: whether a second member may be affected as well. */
export function isAllowed(active: Active, host: Host, kind: MemberFaultKind, isSecond: boolean): boolean {
  if (active.has(host)) return false;
  const struck = memberNames.filter((name) => active.has(name) && !mildKinds.has(must(active, name)));
  const isFallbackSilent = active.has("fallback") && !stillAnswers.has(must(active, "fallback"));
  if (isEtcd(host)) return !etcdNames.some((name) => active.has(name));
  if (host === "fallback") return stillAnswers.has(kind) || (struck.length === 0 && ![...active.keys()].some(isBroker));
  if (isFallbackSilent) return false;
  if (isBroker(host)) return ![...active.keys()].some(isBroker);
  if (mildKinds.has(kind)) return true;
  const isExclusive = isLoss(kind) || struck.some((name) => isLoss(must(active, name)));
  return struck.length === 0 || (!isExclusive && struck.length === 1 && isSecond);
}

/** The members that reach the coordination service and each other, given their current faults. */
export function together(disturbed: Active): readonly Member[] {
  const hasBoth = (name: Member): boolean => {
    const kind = disturbed.get(name);
    return kind === undefined || mildKinds.has(kind) || kind === "cut from clients";
  };
  return memberNames.filter(hasBoth);
}

function must(active: Active, host: Host): MemberFaultKind {
  const kind = active.get(host);
  if (kind === undefined) throw new Error(`nothing is wrong with ${host}`);
  return kind;
}
