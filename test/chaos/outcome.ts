/** The result of a chaos run: its figures, and whether it has passed. */
import type { AvailabilityFigures } from "./availability.ts";
import type { Violation } from "../harness/check-history.ts";
import type { DiskFigures } from "./disk-probe.ts";
import type { AnyKind, InjectedFault } from "./fault-injection.ts";
import { faultKinds } from "./faults.ts";
import type { Read } from "../harness/history.ts";
import { memberFaultKinds } from "./member-rules.ts";
import type { Network } from "./network.ts";
import type { ChaosCluster } from "./chaos-cluster.ts";
import type { Readers } from "./readers.ts";
import type { WriterCounts, Writers } from "../harness/writers.ts";

export interface Outcome {
  readonly ok: boolean;
  readonly network: Network["kind"];
  readonly seed: number;
  readonly seconds: number;
  /** By kind, then by host. */
  readonly faults: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly writes: WriterCounts & { readonly perSecond: number; readonly lost: number };
  readonly reads: ReadFigures;
  /** The behaviour of nodes while their disks failed, and the disk faults that this machine does not permit. */
  readonly disks: DiskFigures & { readonly missing: Readonly<Record<string, string>> };
  /** Only if the primary changes. */
  readonly primaries: PrimaryFigures | undefined;
  /** The exits of nodes that were not killed. */
  readonly exits: readonly string[];
  /** Whether all nodes had the same position and digest at the end. */
  readonly isEqual: boolean;
  /** How long after the last fault that was so. */
  readonly recoveryMs: number;
  /** The first ones. */
  readonly violations: readonly Violation[];
  readonly failures: readonly string[];
}

export interface PrimaryFigures {
  /** How often a node became the primary. */
  readonly terms: number;
  /** Undefined if only an operator promotes. */
  readonly availability: AvailabilityFigures | undefined;
  /** Nodes that did not recover after a fault. */
  readonly unrecovered: readonly string[];
}

interface ReadFigures {
  readonly answered: number;
  readonly perSecond: number;
  readonly failed: number;
  readonly wrong: number;
  readonly byNode: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  readonly longestWithoutTokenMs: number;
}

const shownMax = 20;
const shownOfEachMax = 6;
/** For how long writes may be impossible although they should be possible. */
const waitMsMax = 15_000;

export interface OutcomeOptions {
  readonly cluster: ChaosCluster;
  readonly options: { readonly network: Network; readonly seed: number; readonly seconds: number };
  readonly faults: readonly InjectedFault[];
  readonly disks: DiskFigures;
  readonly writers: Writers;
  readonly readers: Readers;
  readonly violations: readonly Violation[];
  readonly primaries: PrimaryFigures | undefined;
  readonly loadedSeconds: number;
  readonly recoveryMs: number;
  readonly isEqual: boolean;
}

export function outcomeOf({ cluster, options, disks, violations, primaries, ...judged }: OutcomeOptions): Outcome {
  const { writers, readers, isEqual, recoveryMs, loadedSeconds } = judged;
  const { exits } = cluster;
  const { counts } = writers;
  const lost = violations.filter(({ fault }) => fault === "lost write").length;
  const reads = figuresOf(readers, loadedSeconds, violations.length - lost);
  const isRight = violations.length === 0 && reads.failed === 0 && exits.length === 0 && disks.failures.length === 0;
  const isAvailable =
    (primaries?.availability?.worstMs ?? 0) <= waitMsMax && (primaries?.unrecovered.length ?? 0) === 0;
  return {
    ok: isEqual && isRight && isAvailable && counts.acknowledged > 0 && reads.answered > 0,
    network: options.network.kind,
    seed: options.seed,
    seconds: options.seconds,
    faults: countFaults(judged.faults),
    writes: { ...counts, perSecond: counts.acknowledged / loadedSeconds, lost },
    reads,
    disks: { ...disks, failures: disks.failures.slice(0, shownMax), missing: cluster.disks.missing },
    primaries,
    exits: exits.slice(0, shownMax),
    isEqual,
    recoveryMs,
    violations: firstOfEach(violations),
    failures: readers.failures.slice(0, shownMax),
  };
}

/** For each fault. */
function firstOfEach(violations: readonly Violation[]): readonly Violation[] {
  const counts = new Map<string, number>();
  return violations.filter(({ fault }) => {
    const count = (counts.get(fault) ?? 0) + 1;
    counts.set(fault, count);
    return count <= shownOfEachMax;
  });
}

function figuresOf({ reads, failures }: Readers, seconds: number, wrong: number): ReadFigures {
  const lasted = ({ startMs, endMs }: Read): number => endMs - startMs;
  const times = Float64Array.from(reads, lasted).sort();
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  const byNode: Record<string, number> = {};
  for (const { node } of reads) byNode[node] = (byNode[node] ?? 0) + 1;
  return {
    answered: reads.length,
    perSecond: reads.length / seconds,
    failed: failures.length,
    wrong,
    byNode,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    longestMs: at(1),
    longestWithoutTokenMs: reads.reduce(
      (most, read) => (read.token === undefined ? Math.max(most, lasted(read)) : most),
      0,
    ),
  };
}

function countFaults(faults: readonly InjectedFault[]): Record<string, Record<string, number>> {
  const kinds = [...new Set<AnyKind>([...faultKinds, ...memberFaultKinds])];
  const struck = kinds.filter((kind) => faults.some((fault) => fault.kind === kind));
  return Object.fromEntries(
    struck.map((kind) => {
      const byHost: Record<string, number> = {};
      for (const fault of faults) if (fault.kind === kind) byHost[fault.host] = (byHost[fault.host] ?? 0) + 1;
      return [kind, byHost];
    }),
  );
}
