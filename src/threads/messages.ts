/** What the main thread and the threads that answer tell each other. */
import type { Config } from "../config/config.ts";
import type { Limits } from "../config/limits.ts";
import type { DecisionCounter } from "../decisions/decision-order.ts";
import type { DecisionCopy } from "../decisions/thread-decisions.ts";
import type { Shape } from "../engine/query/shapes.ts";
import type { NodeHealth } from "../replication/node-health.ts";
import type { GateNumber } from "../store/connection/answer-gate.ts";
import type { CompiledAhead } from "../policy/compile-ahead.ts";
import type { SequenceLock } from "../store/connection/sequence-lock.ts";
import type { MetricChanges } from "../telemetry/metrics.ts";

/** What a thread may answer from, while the gate has the number. */
export interface Permission {
  readonly gate: GateNumber;
  readonly number: number;
  readonly storePath: string;
  /** As `NodeHealth.ageMs`. */
  readonly ageMs: number | null;
  /** Counts all changes of the file. */
  readonly changes: SequenceLock;
  readonly role: NodeHealth["role"];
  readonly environment: string;
  readonly limits: Limits;
  /** Which decisions are logged. */
  readonly decisions: Config["decisions"];
  /** The share of the requests that begin a trace for a collector; undefined without one. */
  readonly tracedShare: number | undefined;
  /** Without a collector: how many traces of each kind the node records in one second. */
  readonly tracesPerSecond: number;
  /** What was asked before, to be planned ahead. */
  readonly expected: readonly Shape[];
}

/** What all threads of a node count together. */
export interface SharedCounters {
  /** Numbers their decisions. */
  readonly decisions: DecisionCounter;
  /** How many requests each thread has begun to answer, by the number of the thread. */
  readonly inFlight: Int32Array<SharedArrayBuffer>;
  /** The number of this thread. */
  readonly thread: number;
}

export type ThreadCommand =
  /** The first message. */
  | { readonly begin: SharedCounters }
  /** Undefined if the thread may not answer. */
  | { readonly permission: Permission | undefined }
  /** How old the data of a fallback is, in ms. */
  | { readonly ageMs: number | null }
  /** A policy that may become active. */
  | { readonly compiled: CompiledAhead }
  /** Send a report now. */
  | { readonly report: number }
  /** So many bytes of decisions were taken over. */
  | { readonly takenBytes: number };

/** What a thread has counted since the last report. */
export interface ThreadReport {
  /** The number of the request for this report; undefined if there was none. */
  readonly report: number | undefined;
  readonly metrics: MetricChanges;
  /** When each API key was last used, in ms since 1970. */
  readonly keyUses: readonly (readonly [id: string, atMs: number])[];
  readonly decisions: DecisionCopy | undefined;
  /** The next decision has this number or a later one. */
  readonly nextDecision: number;
  /** Decisions for which there was no room. */
  readonly droppedDecisions: number;
  /** The shapes of the questions that were asked; undefined if there are no new ones. */
  readonly expected: readonly Shape[] | undefined;
  /** Whether the thread has planned its first questions. */
  readonly isPrepared: boolean;
  /** Why the thread cannot use the database of its permission; undefined if there is no such problem. */
  readonly problem: string | undefined;
}
