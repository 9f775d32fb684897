/**
 * Checks whether a correct cluster could have given the answers of a history.
 *
 * The log is one sequence of events, and an acknowledged write names its position. (After failovers, this is the
 * surviving log; `surviving-history.ts` handles writes that are not part of it.) So each answer is true for a range of
 * offsets: from the event of the version that it names to the event of the next version. A read is correct if this
 * range is not empty, and extends beyond its token (the replica was not older than the token) and beyond earlier reads
 * of the same node (no replica goes back).
 *
 * Unknown facts count in favour of the cluster: a write that was sent twice happened between its begin and its
 * acknowledgement; a write without an answer happened at any time, or never.
 */
import { checkPrimaries } from "./check-primaries.ts";
import type { Answer, History, Position, Read, Versions, Write } from "./history.ts";
import { Registers, withOffsetsBefore } from "./registers.ts";
import { survivingHistory } from "./surviving-history.ts";
import { mustBeNone, type Verdict } from "./verdicts.ts";

export const historyFaults = [
  // Acknowledged, but missing at the end, or not part of the surviving history.
  "lost write",
  // At the end: a register with several versions or with a version that was never written; nodes that differ.
  "impossible state",
  // True at no offset.
  "impossible answer",
  // Names a version that was not written yet.
  "answer from the future",
  // Older than its token.
  "stale answer",
  // Older than an earlier answer of the same node.
  "step back",
  // Positions that contradict the times.
  "writes out of order",
  // A primary acknowledged a write that was sent after its successor had acknowledged one.
  "two acknowledging primaries",
] as const;

export type HistoryFault = (typeof historyFaults)[number];

export interface Violation {
  readonly fault: HistoryFault;
  /** Contains all that is needed to understand the violation. */
  readonly message: string;
}

/** One row for each way in which the observations of clients may contradict a correct cluster. */
export function historyRows(violations: readonly Violation[]): Verdict[] {
  return historyFaults.map((fault) => {
    const found = violations.filter((one) => one.fault === fault).map(({ message }) => message);
    return mustBeNone(fault, found.length, found);
  });
}

/** From the first offset at which something is true to the first offset at which it is not any more. */
interface Range {
  readonly from: number;
  readonly to: number;
}

export function checkHistory(history: History): Violation[] {
  const { writes, reads, lost } = survivingHistory(history);
  const registers = new Registers(writes);
  return [
    ...lost.map((write): Violation => ({ fault: "lost write", message: describeLost(write, history) })),
    ...checkPrimaries(history),
    ...checkOrder(writes),
    ...checkReads(reads, registers),
    ...checkEnds(history, registers),
  ];
}

function checkOrder(writes: readonly Write[]): Violation[] {
  const taken = new Map<number, Write>();
  return withOffsetsBefore(writes).flatMap(({ write, before }): Violation[] => {
    const offset = write.token?.offset;
    if (offset === undefined) return [];
    const once = write.sends === 1;
    const found: Violation[] = [];
    if (once ? offset <= before : offset < before)
      found.push({
        fault: "writes out of order",
        message: `${describeWrite(write)} began after offset ${before} was acknowledged`,
      });
    const other = once ? taken.get(offset) : undefined;
    if (other !== undefined)
      found.push({
        fault: "writes out of order",
        message: `${describeWrite(write)} stands where ${describeWrite(other)} does`,
      });
    if (once) taken.set(offset, write);
    return found;
  });
}

function checkReads(reads: readonly Read[], registers: Registers): Violation[] {
  const found: Violation[] = [];
  const judged = reads.map((read) => ({ read, range: rangeOf(read, registers, found) }));
  const ended = [...judged].sort((a, b) => a.read.endMs - b.read.endMs);
  const seen = new Map<string, { readonly offset: number; readonly read: Read }>();
  let next = 0;
  for (const { read, range } of judged.sort((a, b) => a.read.startMs - b.read.startMs)) {
    for (let done = ended[next]; done !== undefined && done.read.endMs < read.startMs; done = ended[++next]) {
      const offset = done.range?.from ?? 0;
      if (offset > (seen.get(done.read.node)?.offset ?? 0)) seen.set(done.read.node, { offset, read: done.read });
    }
    if (range === undefined) continue;
    const token = read.mayBeOld ? undefined : read.token;
    if (token !== undefined && token.offset >= range.to)
      found.push({
        fault: "stale answer",
        message: `${describeRead(read)}, which was over before offset ${range.to}`,
      });
    const before = seen.get(read.node);
    if (before !== undefined && before.offset >= range.to)
      found.push({
        fault: "step back",
        message: `${describeRead(read)}, which was over before offset ${range.to}; but before: ${describeRead(before.read)}, which is true from offset ${before.offset} on`,
      });
  }
  return found;
}

/** The range where the answer is true. Undefined if there is none, which goes into `found`, or if it is unknown. */
function rangeOf(read: Read, registers: Registers, found: Violation[]): Range | undefined {
  const { answer } = read;
  if (answer.kind === "has" && !answer.has) return rangeOfDenial(read, answer, registers);
  const parts = statedBy(answer, registers).map(([register, versions]) => {
    const [version = 0, ...more] = versions;
    if (more.length > 0) return `${register} never had several versions at once`;
    return rangeOfVersion(register, version, registers, read.endMs);
  });
  const problem = parts.find((part) => typeof part === "string");
  if (problem !== undefined) {
    const fault = problem.endsWith(notYet) ? "answer from the future" : "impossible answer";
    found.push({ fault, message: `${describeRead(read)}: ${problem}` });
    return undefined;
  }
  const ranges = parts.filter((part) => typeof part !== "string");
  const from = Math.max(0, ...ranges.map((range) => range.from));
  const to = Math.min(...ranges.map((range) => range.to));
  if (from < to) return { from, to };
  found.push({
    fault: "impossible answer",
    message: `${describeRead(read)}: one part of it is true only from offset ${from} on, another only before ${to}`,
  });
  return undefined;
}

/** Each register in the answer, with the versions that the answer says it has. */
function statedBy(answer: Answer, registers: Registers): (readonly [string, readonly number[]])[] {
  switch (answer.kind) {
    case "register":
      return [[answer.register, answer.versions]];
    case "has":
      return [[answer.register, [answer.version]]];
    case "group": {
      const names = new Set([...registers.inGroup(answer.group), ...answer.versions.keys()]);
      return [...names].map((register) => [register, answer.versions.get(register) ?? []]);
    }
  }
}

const notYet = "had not been written yet";

/** The range where the register has this version, or the problem with it. */
function rangeOfVersion(register: string, version: number, registers: Registers, endMs: number): Range | string {
  const to = registers.version(register, version + 1)?.latest ?? Infinity;
  if (version === 0) return { from: 0, to };
  const written = registers.version(register, version);
  if (written === undefined) return `version ${version} of ${register} was never written`;
  if (written.write.startMs > endMs) return `version ${version} of ${register} ${notYet}`;
  return { from: written.earliest, to };
}

/**
 * The range of "it does not have this version": before its event, and after the next one. Only useful if there is no
 * next one.
 */
function rangeOfDenial(
  read: Read,
  { register, version }: Answer & { kind: "has" },
  registers: Registers,
): Range | undefined {
  const written = registers.version(register, version);
  const next = registers.version(register, version + 1);
  if (written === undefined || (next !== undefined && next.write.startMs <= read.endMs)) return undefined;
  return { from: 0, to: written.latest };
}

function checkEnds({ ends }: History, registers: Registers): Violation[] {
  const [first, ...others] = ends;
  if (first === undefined) return [];
  const found = ends.flatMap(({ node, versions }) =>
    [...new Set([...registers.names, ...versions.keys()])].flatMap((register) =>
      checkEnd(node, register, versions.get(register) ?? [], registers),
    ),
  );
  for (const { node, versions } of others) {
    const register = differing(first.versions, versions);
    if (register !== undefined)
      found.push({ fault: "impossible state", message: `at the end ${first.node} and ${node} differ in ${register}` });
  }
  return found;
}

function checkEnd(node: string, register: string, held: readonly number[], registers: Registers): Violation[] {
  const last = registers.lastAcknowledged(register);
  const [version = 0, ...more] = held;
  const message = `at the end ${node} has versions ${held.join(", ") || "none"} of ${register}, acknowledged was ${last}`;
  if (more.length > 0) return [{ fault: "impossible state", message }];
  if (version < last) return [{ fault: "lost write", message }];
  const allowed = version === last || registers.version(register, version) !== undefined;
  return allowed ? [] : [{ fault: "impossible state", message }];
}

function differing(a: Versions, b: Versions): string | undefined {
  const names = new Set([...a.keys(), ...b.keys()]);
  return [...names].find((name) => (a.get(name) ?? []).join() !== (b.get(name) ?? []).join());
}

function describeLost(write: Write, { epochs }: History): string {
  const known = epochs.map(({ epoch, offset }) => `${epoch} from ${offset} on`).join(", ");
  return `${describeWrite(write)} was acknowledged, but is not part of the history in the end: ${known}`;
}

function describeWrite({ register, version, startMs, endMs, sends, token }: Write): string {
  const often = sends === 1 ? "" : `, sent ${sends} times`;
  return `the write of version ${version} of ${register} (${ms(startMs)} to ${ms(endMs)}${often}, ${describePosition(token)})`;
}

function describeRead({ node, startMs, endMs, token, answer }: Read): string {
  return `${node} said from ${ms(startMs)} to ${ms(endMs)}, asked with ${describePosition(token)}: ${describeAnswer(answer)}`;
}

function describeAnswer(answer: Answer): string {
  switch (answer.kind) {
    case "register":
      return `${answer.register} has version ${answer.versions.join(", ") || "none"}`;
    case "has":
      return `${answer.register} has ${answer.has ? "" : "not "}version ${answer.version}`;
    case "group":
      return `${answer.group} has ${[...answer.versions].map(([register, versions]) => `${register}: ${versions.join(", ")}`).join("; ")}`;
  }
}

const describePosition = (token: Position | undefined): string =>
  token === undefined ? "no token" : `token ${token.epoch}:${token.offset}`;

const ms = (time: number): string => (time === Infinity ? "no end" : `${time.toFixed(1)} ms`);
