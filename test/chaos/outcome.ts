/** The result of a chaos run: its figures, and the verdict about them. */
import { figure, isPassed, mustBeNone, percentile, verdict, type Verdict } from "../harness/verdicts.ts";
import { historyRows, type Violation } from "../harness/check-history.ts";
import type { Read } from "../harness/history.ts";
import type { WriterCounts, Writers } from "../harness/writers.ts";
import type { AvailabilityFigures } from "./availability.ts";
import type { ChaosCluster } from "./chaos-cluster.ts";
import type { DiskFigures } from "./disk-probe.ts";
import type { AnyKind, InjectedFault } from "./fault-injection.ts";
import { faultKinds } from "./faults.ts";
import { memberFaultKinds } from "./member-rules.ts";
import type { Network } from "./network.ts";
import type { Readers } from "./readers.ts";

export interface Outcome {
  readonly ok: boolean;
  readonly network: Network["kind"];
  readonly seed: number;
  readonly seconds: number;
  /** By kind, then by host. */
  readonly faults: FaultCounts;
  readonly writes: WriterCounts;
  readonly reads: number;
  /** The behaviour of nodes while their disks failed, and the disk faults that this machine does not permit. */
  readonly disks: DiskFigures & { readonly missing: Readonly<Record<string, string>> };
  /** Only if the primary changes. */
  readonly primaries: PrimaryFigures | undefined;
  readonly verdicts: readonly Verdict[];
}

type FaultCounts = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface PrimaryFigures {
  /** How often a node became the primary. */
  readonly terms: number;
  /** Undefined if only an operator promotes. */
  readonly availability: AvailabilityFigures | undefined;
  /** Nodes that did not recover after a fault. */
  readonly unrecovered: readonly string[];
}

/** For how long writes may be impossible although they should be possible. */
const waitMsMax = 15_000;

export interface OutcomeOptions {
  readonly cluster: Pick<ChaosCluster, "exits"> & { readonly disks: Pick<ChaosCluster["disks"], "missing"> };
  readonly options: { readonly network: Pick<Network, "kind">; readonly seed: number; readonly seconds: number };
  readonly faults: readonly InjectedFault[];
  readonly disks: DiskFigures;
  readonly writers: Pick<Writers, "counts">;
  readonly readers: Pick<Readers, "reads" | "failures">;
  readonly violations: readonly Violation[];
  readonly primaries: PrimaryFigures | undefined;
  readonly loadedSeconds: number;
  /** How long after the last fault all nodes were equal. */
  readonly recoveryMs: number;
  /** Whether all nodes had the same position and digest at the end. */
  readonly isEqual: boolean;
}

export function outcomeOf(measured: OutcomeOptions): Outcome {
  const { cluster, options, writers, readers, primaries } = measured;
  const faults = countFaults(measured.faults);
  const disks = { ...measured.disks, missing: cluster.disks.missing };
  const verdicts = judge(measured, faults);
  return {
    ok: isPassed(verdicts),
    network: options.network.kind,
    seed: options.seed,
    seconds: options.seconds,
    faults,
    writes: writers.counts,
    reads: readers.reads.length,
    disks,
    primaries,
    verdicts,
  };
}

function judge(measured: OutcomeOptions, faults: FaultCounts): readonly Verdict[] {
  const { cluster, violations, primaries, disks, isEqual, recoveryMs, loadedSeconds } = measured;
  const { counts } = measured.writers;
  const { reads, failures } = measured.readers;
  const perSecond = (count: number): string => `> 0, ${Math.round(count / loadedSeconds)} a second`;
  return [
    ...Object.entries(faults).map(([kind, byHost]) => figure(kind, sum(byHost), list(byHost))),
    verdict("writes acknowledged", counts.acknowledged, perSecond(counts.acknowledged), counts.acknowledged > 0, []),
    figure("  refused, and sent again", counts.refused, "certainly not done"),
    figure("  unanswered, and sent again", counts.unanswered, "done or not"),
    verdict("reads answered", reads.length, `${perSecond(reads.length)}: ${list(byNode(reads))}`, reads.length > 0, []),
    mustBeNone("  failed", failures.length, failures),
    ...timesOf(reads),
    ...historyRows(violations),
    ...(primaries === undefined ? diskRows(disks) : primaryRows(primaries)),
    mustBeNone("nodes that ended by themselves", cluster.exits.length, cluster.exits),
    verdict("ms until the nodes were equal", isEqual ? recoveryMs : "never", "after the last fault", isEqual, []),
    ...Object.entries(cluster.disks.missing).map(([what, why]) => figure(`left out: ${what}`, "", `since ${why}`)),
  ];
}

function timesOf(reads: readonly Read[]): Verdict[] {
  const lasted = ({ startMs, endMs }: Read): number => endMs - startMs;
  const times = reads.map(lasted);
  const withoutToken = reads.filter(({ token }) => token === undefined).map(lasted);
  const usual = `median ${percentile(times, 0.5).toFixed(1)}, p99 ${percentile(times, 0.99).toFixed(1)}`;
  const longest = Math.round(percentile(withoutToken, 1)).toLocaleString("en");
  return [figure("  longest, ms", percentile(times, 1), `without a token ${longest}; ${usual}`)];
}

function diskRows(disks: DiskFigures): Verdict[] {
  const { readsAnswered, readsRefused, writesAcknowledged, writesRefused, writableAfterMs, failures } = disks;
  return [
    figure("reads with a failing disk", readsAnswered, `${readsRefused} refused, with errors of reads`),
    figure("writes with a failing disk", writesAcknowledged, `${writesRefused} refused with 503`),
    figure("  writable again after, ms", writableAfterMs, "at the most"),
    mustBeNone("  wrong behaviour", failures.length, failures),
  ];
}

function primaryRows({ terms, availability, unrecovered }: PrimaryFigures): Verdict[] {
  const rows = [
    figure("epochs of the history", terms, "as many primaries, or starts of one"),
    mustBeNone("nodes that did not recover", unrecovered.length, unrecovered),
  ];
  if (availability === undefined) return rows;
  const { possibleMs, waits, medianMs, worstMs, worstFromMs, longestWithoutMs } = availability;
  const worst = `<= ${waitMsMax.toLocaleString("en")}; from ${(worstFromMs / 1000).toFixed(1)} s on`;
  return [
    ...rows,
    figure("writes possible, s", possibleMs / 1000, "while the coordination service and enough nodes were available"),
    figure("  waits for them", waits, "of half a second and more"),
    figure("  median, ms", medianMs),
    verdict("  worst, ms", worstMs, worst, worstMs <= waitMsMax, []),
    figure("  longest without, ms", longestWithoutMs, "also while they were not there"),
  ];
}

function byNode(reads: readonly Read[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { node } of reads) counts[node] = (counts[node] ?? 0) + 1;
  return counts;
}

function countFaults(faults: readonly InjectedFault[]): FaultCounts {
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

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);

const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count.toLocaleString("en")}`)
    .join(", ");
