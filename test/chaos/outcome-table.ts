/** The result of a chaos run as a table for people. */
import type { Outcome, PrimaryFigures } from "./outcome.ts";

type Row = [string, string, string];

export function render({
  faults,
  writes,
  reads,
  disks,
  exits,
  isEqual,
  recoveryMs,
  violations,
  failures,
  primaries,
  ...run
}: Outcome): string {
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${number(count)}`)
      .join(", ");
  const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
  const usual = `median ${reads.p50Ms.toFixed(1)}, p99 ${reads.p99Ms.toFixed(1)}`;
  const rows: Row[] = [
    ...Object.entries(faults).map(([kind, byHost]): Row => [kind, number(sum(byHost)), list(byHost)]),
    ["writes acknowledged", number(writes.acknowledged), `${number(writes.perSecond)} a second`],
    ["  refused, and sent again", number(writes.refused), "certainly not done"],
    ["  unanswered, and sent again", number(writes.unanswered), "done or not"],
    ["  lost", number(writes.lost), "must be 0"],
    ["reads answered", number(reads.answered), `${number(reads.perSecond)} a second: ${list(reads.byNode)}`],
    ["  failed", number(reads.failed), "must be 0"],
    ["  wrong", number(reads.wrong), "must be 0"],
    ["  longest, ms", number(reads.longestMs), `without a token ${number(reads.longestWithoutTokenMs)}; ${usual}`],
    ...(primaries === undefined ? [] : primaryRows(primaries)),
    ["nodes that ended by themselves", number(exits.length), "must be 0"],
    ...(primaries === undefined ? diskRows(disks) : []),
    ["nodes equal at the end", isEqual ? "yes" : "no", `${number(recoveryMs)} ms after the last fault`],
  ];
  const table = rows.map(([what, value, note]) => `  ${what.padEnd(30)} ${value.padStart(9)}   ${note}`.trimEnd());
  const wrong = [
    ...violations.map(({ fault, message }) => `${fault}: ${message}`),
    ...failures.map((text) => `failed: ${text}`),
    ...exits,
    ...(primaries?.unrecovered ?? []),
    ...disks.failures,
    ...Object.entries(disks.missing).map(([what, why]) => `left out: ${what}, since ${why}`),
  ];
  const title = `${run.seconds} s of chaos in ${run.network}, seed ${run.seed}`;
  return `${[title, ...table, ...wrong, run.ok ? "passed" : "FAILED"].join("\n")}\n`;
}

const number = (value: number): string => Math.round(value).toLocaleString("en");

function diskRows(disks: Outcome["disks"]): Row[] {
  return [
    [
      "reads with a failing disk",
      number(disks.readsAnswered),
      `${number(disks.readsRefused)} refused, with errors of reads`,
    ],
    ["writes with a failing disk", number(disks.writesAcknowledged), `${number(disks.writesRefused)} refused with 503`],
    ["  writable again after, ms", number(disks.writableAfterMs), "at the most"],
    ["  wrong behaviour", number(disks.failures.length), "must be 0"],
  ];
}

function primaryRows({ terms, availability, unrecovered }: PrimaryFigures): Row[] {
  const rows: Row[] = [
    ["epochs of the history", number(terms), "as many primaries, or starts of one"],
    ["nodes that did not recover", number(unrecovered.length), "must be 0"],
  ];
  if (availability === undefined) return rows;
  const { possibleMs, waits, medianMs, worstMs, worstFromMs, longestWithoutMs } = availability;
  return [
    ...rows,
    ["writes possible, s", number(possibleMs / 1000), "while the coordination service and enough nodes were available"],
    ["  waits for them", number(waits), "of half a second and more"],
    ["  median, ms", number(medianMs), ""],
    ["  worst, ms", number(worstMs), `must be at most 15,000; from ${(worstFromMs / 1000).toFixed(1)} s on`],
    ["  longest without, ms", number(longestWithoutMs), "also while they were not there"],
  ];
}
