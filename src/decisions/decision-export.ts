/**
 * Exports the decision log to a collector of OpenTelemetry, as log records in the order of the log. The position is in
 * the log, so that a collector that was away, or a restart, loses nothing that the log still has; after a failure
 * records may arrive twice.
 */
import type { OtlpRecord, SendRecords } from "../telemetry/otlp-logs.ts";
import { backoffMs } from "../util/backoff.ts";
import type { Clock } from "../util/clock.ts";
import type { DecisionStore } from "./decision-store.ts";
import type { LoggedDecision } from "./logged-decision.ts";
import type { LoggedValue } from "./decision-question.ts";

const intervalMs = 1000;
const recordsAtATime = 500;
const batchBytesMax = 4 * 1024 * 1024;
const retryDelay = { minMs: 1000, maxMs: 60_000 };

interface ExportOptions {
  readonly send: SendRecords;
  /** Runs with the open log; returns undefined if it cannot be used now. */
  readonly withStore: <T>(body: (store: DecisionStore) => T) => T | undefined;
  readonly report: (error: unknown) => void;
  readonly clock: Clock;
}

/** Exports until the result is called. */
export function exportDecisions({ send, withStore, report, clock }: ExportOptions): () => void {
  let cancel: () => void = () => {};
  let isStopped = false;
  let failures = 0;
  const schedule = (delayMs: number): void => {
    if (!isStopped) cancel = clock.after(delayMs, () => void run());
  };
  const run = async (): Promise<void> => {
    const page = withStore((store) => {
      const after = store.exportedId;
      return store.read({}, { after, order: "oldest", limit: recordsAtATime, bytesMax: batchBytesMax, oldestMs: 0 });
    });
    try {
      if (page !== undefined && page.decisions.length > 0) await send(page.decisions.map(recordOf));
      const last = page?.last;
      if (last !== undefined && !isStopped)
        withStore((store) => {
          if (last !== store.exportedId) store.exportedId = last;
        });
      failures = 0;
      schedule(page?.hasMore === true ? 0 : intervalMs);
    } catch (error) {
      report(error);
      schedule(backoffMs(failures++, retryDelay, clock.random()));
    }
  };
  schedule(intervalMs);
  return () => {
    isStopped = true;
    cancel();
  };
}

function recordOf(decision: LoggedDecision): OtlpRecord {
  const {
    time,
    trace_id: traceId,
    actor,
    resource,
    context_facts: contextFacts,
    question,
    redacted,
    ...rest
  } = decision;
  const result = rest.result ?? `${rest.count} entries`;
  const plain = Object.entries(rest).filter((entry): entry is [string, string | number | boolean] => entry[1] !== null);
  return {
    timeMs: Date.parse(time),
    eventName: "ostiary.decision",
    body: `${rest.kind}: ${result}`,
    traceId,
    attributes: {
      ...Object.fromEntries(plain.map(([name, value]) => [`ostiary.decision.${name}`, value])),
      ...valueAttributes("actor", actor),
      ...valueAttributes("resource", resource),
      ...(contextFacts.length > 0 && { "ostiary.decision.context_facts": JSON.stringify(contextFacts) }),
      ...(question !== null && { "ostiary.decision.question": JSON.stringify(question) }),
      ...(redacted.length > 0 && { "ostiary.decision.redacted": redacted.join(",") }),
    },
  };
}

function valueAttributes(name: string, value: LoggedValue | null): Record<string, string> {
  const entries = Object.entries(value ?? {}).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries.map(([member, text]) => [`ostiary.decision.${name}.${member}`, text]));
}
