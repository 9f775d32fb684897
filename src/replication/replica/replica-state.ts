/**
 * The state machine of a replica: how it keeps its database at the primary's position. `transition` is pure. It takes a
 * state and an input and returns the next state and the commands for `replica-loop.ts`, which performs them and reports
 * what came of them as further inputs.
 *
 *     behind ──► catchingUp ──► live ──► behind (a gap, a subscription, a request, a failure)
 *        │            │           │
 *        └────────────┴───────────┴──► diverged ──► catchingUp (from a snapshot)
 *
 * A replica starts in `behind`. Every state leads to `stopped`, which is final.
 */
import { compareEpochs } from "../../store/log/epochs.ts";
import type { LogRow } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { batchRows, epochOf, type EventBatch } from "../transport/messages.ts";

/**
 * Why the logs of other nodes are read. Only `missed` makes a replica count as catching up: events that the event
 * stream announces without their bodies, and those that a polled primary reports, always come over HTTP.
 */
export type CatchUpCause = "announced" | "polled" | "missed";

/** The cause that counts when a catch-up is requested twice. */
export function mergeCauses(first: CatchUpCause | undefined, second: CatchUpCause): CatchUpCause {
  return first === undefined || second === "missed" ? second : first;
}

/** A batch of the event stream that is not applied yet. */
export interface ReceivedBatch {
  readonly batch: EventBatch;
  readonly bytes: number;
  /** When it arrived, in ms since 1970 with a fraction. */
  readonly atMs: number;
}

/** Events that the event stream announced without their bodies. */
export interface AnnouncedEvents {
  readonly offset: number;
  /** When the announcement arrived, in ms since 1970. */
  readonly atMs: number;
}

/** What a running replica remembers, whatever its state is. */
export interface Memory {
  /** The events that this replica has to fetch. Undefined after a catch-up. */
  readonly announced: AnnouncedEvents | undefined;
  /** The last batch that could not be applied when it was first in the inbox. */
  readonly unapplied: EventBatch | undefined;
  /** Where this replica was when the last head of the event stream arrived. */
  readonly offsetAtHead: number;
  /** The event stream says that this database differs from the primary's. The primary has not been asked yet. */
  readonly isDoubted: boolean;
  /** The database's files were deleted or replaced. The open files still answer, and a snapshot has to replace them. */
  readonly areFilesLost: boolean;
  /** Failures in a row to apply events that should continue this database. */
  readonly replayFailures: number;
  readonly catchUpFailures: number;
  /** When the database was installed from a snapshot, on the monotonic clock. */
  readonly snapshotAtMs: number;
  /** How many snapshots in a row diverged soon after they were installed. */
  readonly badSnapshots: number;
}

/** No event is known to be missing. Batches are applied as they arrive. */
export interface Live {
  readonly name: "live";
  readonly memory: Memory;
}

/** Events are missing, or may be. Batches that continue the database are still applied. */
export interface Behind {
  readonly name: "behind";
  readonly memory: Memory;
  readonly cause: CatchUpCause;
  /** Whether the catch-up waits for its retry timer. */
  readonly isDelayed: boolean;
}

export interface CatchingUp {
  readonly name: "catchingUp";
  readonly memory: Memory;
  readonly cause: CatchUpCause;
  /** Why another catch-up has to follow this one. */
  readonly next: CatchUpCause | undefined;
}

/** The database must not answer. A snapshot has to replace it, unless its file proves to be sound. */
export interface Diverged {
  readonly name: "diverged";
  readonly memory: Memory;
  /** Whether the only reason is that its file is damaged or could not be read. */
  readonly isDamaged: boolean;
  readonly isDelayed: boolean;
  /** The catch-up that runs: it began before the divergence, or it fetches the snapshot. */
  readonly catchUp: Pick<CatchingUp, "cause" | "next"> | undefined;
}

export interface Stopped {
  readonly name: "stopped";
  /** A stopped replica that diverged still must not answer. */
  readonly isDiverged: boolean;
}

export type ReplicaState = Live | Behind | CatchingUp | Diverged | Stopped;

/** `conflict`: the events do not continue this database. `storage`: the disk failed, which says nothing about it. */
export type ReplayFailure = "conflict" | "damage" | "storage" | "other";

export type ReplicaInput =
  /** The loop is free: what shall it do? `received` is the first batch in the inbox. */
  | { readonly type: "ready"; readonly position: StoreState | undefined; readonly received: ReceivedBatch | undefined }
  | { readonly type: "catchUpRequested"; readonly cause: CatchUpCause }
  | { readonly type: "retryDue" }
  | { readonly type: "caughtUp" }
  | { readonly type: "catchUpFailed"; readonly isStorageFailure: boolean; readonly nowMs: number }
  | { readonly type: "snapshotStarted" }
  | { readonly type: "snapshotInstalled"; readonly nowMs: number }
  | { readonly type: "applied" }
  /** Events of a batch, or of a page of that node's log, could not be applied. */
  | {
      readonly type: "applyFailed";
      readonly failure: ReplayFailure;
      readonly from: "stream" | "primary" | "peer";
      readonly message: string;
      readonly nowMs: number;
    }
  /** A head that proves the primary's position arrived when this replica was at `position`. */
  | { readonly type: "headReceived"; readonly offset: number; readonly position: number }
  /** A head names another digest or hash than this database had at that offset. */
  | {
      readonly type: "mismatchFound";
      readonly from: "stream" | "primary";
      readonly offset: number;
      readonly nowMs: number;
    }
  /** This replica has reached a head that the primary itself gave. */
  | { readonly type: "primaryReached" }
  | { readonly type: "distrusted"; readonly reason: string; readonly isDamage: boolean; readonly nowMs: number }
  /** A check has found the file sound: the disk could not read it for a while. */
  | { readonly type: "fileVerified" }
  | { readonly type: "filesLost" }
  | { readonly type: "stopped" };

export type ReplicaCommand =
  /** Read the logs of other nodes to their end, from this database's position or from a fresh snapshot. */
  | { readonly type: "catchUp"; readonly cause: CatchUpCause; readonly from: "position" | "snapshot" }
  /** Take the first batch out of the inbox and apply these rows of it. */
  | {
      readonly type: "apply";
      readonly received: ReceivedBatch;
      readonly rows: readonly LogRow[];
      readonly after: number;
    }
  | { readonly type: "drop"; readonly isDuplicate: boolean }
  /** Request a catch-up, but not more often than the primary has news. */
  | { readonly type: "requestCatchUp"; readonly cause: CatchUpCause }
  /** Send `retryDue` after a delay that grows with the failures. It replaces an earlier timer. */
  | { readonly type: "retryLater"; readonly failures: number; readonly kind: "catchUp" | "snapshot" }
  /** Run the loop, which sends `ready`. */
  | { readonly type: "wake" }
  | { readonly type: "reportGap" }
  | { readonly type: "reportDoubt"; readonly offset: number }
  | { readonly type: "reportDivergence"; readonly reason: string };

export interface Transition {
  readonly state: ReplicaState;
  readonly commands: readonly ReplicaCommand[];
}

/** After so many failures in a row to apply the same events, the database is replaced by a snapshot. */
export const replayFailuresMax = 3;
/** A database that diverges within this time after its snapshot was never right. */
export const recentSnapshotMs = 60_000;

export const initialState: Behind = {
  name: "behind",
  cause: "missed",
  isDelayed: false,
  memory: {
    announced: undefined,
    unapplied: undefined,
    offsetAtHead: 0,
    isDoubted: false,
    areFilesLost: false,
    replayFailures: 0,
    catchUpFailures: 0,
    snapshotAtMs: Number.NEGATIVE_INFINITY,
    badSnapshots: 0,
  },
};

type Running = Exclude<ReplicaState, Stopped>;
type Input<Type extends ReplicaInput["type"]> = Extract<ReplicaInput, { type: Type }>;

export function transition(state: ReplicaState, input: ReplicaInput): Transition {
  if (state.name === "stopped") return stay(state);
  switch (input.type) {
    case "ready":
      return onReady(state, input);
    case "catchUpRequested":
      return requested(state, input.cause);
    case "retryDue":
      return to("isDelayed" in state ? { ...state, isDelayed: false } : state, { type: "wake" });
    case "caughtUp":
      return onCaughtUp(state);
    case "catchUpFailed":
      return onCatchUpFailed(state, input);
    case "snapshotStarted":
      return to(onSnapshotStarted(state));
    case "snapshotInstalled":
      return to(onSnapshotInstalled(state, input.nowMs));
    case "applied":
      return to(remember(state, { replayFailures: 0 }));
    case "applyFailed":
      return onApplyFailed(state, input);
    case "headReceived":
      return onHead(state, input);
    case "mismatchFound":
      return onMismatch(state, input);
    case "primaryReached":
      return to(remember(state, { isDoubted: false }));
    case "distrusted":
      return diverge(state, input);
    case "fileVerified":
      return onFileVerified(state);
    case "filesLost":
      if (state.memory.areFilesLost) return stay(state);
      return requested(remember(state, { areFilesLost: true }), "missed");
    case "stopped":
      return to({ name: "stopped", isDiverged: state.name === "diverged" });
  }
}

export function isDiverged(state: ReplicaState): boolean {
  return state.name === "diverged" || (state.name === "stopped" && state.isDiverged);
}

/** Whether events were missed that the replica has not fetched yet. */
export function hasMissedEvents(state: ReplicaState): boolean {
  if (state.name === "behind") return state.cause === "missed";
  return state.name === "catchingUp" && (state.cause === "missed" || state.next === "missed");
}

/** Undefined while no logs are being read. */
export function catchUpCause(state: ReplicaState): CatchUpCause | undefined {
  if (state.name === "catchingUp") return state.cause;
  return state.name === "diverged" ? state.catchUp?.cause : undefined;
}

function onReady(state: Running, input: Input<"ready">): Transition {
  switch (state.name) {
    case "live":
      return takeBatch(state, input);
    case "behind":
      return state.isDelayed ? takeBatch(state, input) : startCatchUp(state);
    case "catchingUp":
      return stay(state);
    case "diverged": {
      if (state.isDelayed || state.catchUp !== undefined) return stay(state);
      const catchUp = { cause: "missed", next: undefined } as const;
      return to({ ...state, catchUp }, { type: "catchUp", cause: "missed", from: "snapshot" });
    }
  }
}

function startCatchUp({ memory, cause }: Behind): Transition {
  const isUsable = !memory.areFilesLost && memory.replayFailures < replayFailuresMax;
  return to(
    { name: "catchingUp", memory, cause, next: undefined },
    { type: "catchUp", cause, from: isUsable ? "position" : "snapshot" },
  );
}

function takeBatch(state: Live | Behind, { position, received }: Input<"ready">): Transition {
  if (position === undefined || received === undefined) return stay(state);
  const { batch } = received;
  const { offset } = position;
  const order = compareEpochs(epochOf(batch), position);
  if (order < 0 || (order === 0 && batch.l <= offset)) return to(state, { type: "drop", isDuplicate: true });
  const isNext = order === 0 && batch.p <= offset;
  const rows = isNext ? batchRows(batch)?.filter((row) => row.offset > offset) : undefined;
  if (rows !== undefined) return to(state, { type: "apply", received, rows, after: offset });
  // The catch-up may fetch what this batch continues.
  if (state.name === "behind") return stay(state);

  const announced = isNext ? { offset: batch.l, atMs: received.atMs } : state.memory.announced;
  // A batch that continues announced events shows no gap: those events are fetched already.
  const isGap = order !== 0 || batch.p > Math.max(offset, announced?.offset ?? 0);
  const wasTried = batch === state.memory.unapplied;
  const commands: ReplicaCommand[] = [];
  if (isGap && !wasTried) commands.push({ type: "reportGap" });
  // The batch stays in the inbox if it may continue what the catch-up brings. It cannot if it is of a later epoch, has
  // no bodies, or did not continue it.
  if (order !== 0 || isNext || wasTried) commands.push({ type: "drop", isDuplicate: false });
  commands.push({ type: "requestCatchUp", cause: isGap ? "missed" : "announced" });
  return to(remember(state, { announced, unapplied: batch }), ...commands);
}

function requested(state: Running, cause: CatchUpCause): Transition {
  const wake: ReplicaCommand = { type: "wake" };
  switch (state.name) {
    case "live":
      return to({ name: "behind", memory: state.memory, cause, isDelayed: false }, wake);
    case "behind":
      return to({ ...state, cause: mergeCauses(state.cause, cause) }, wake);
    case "catchingUp":
      return to({ ...state, next: mergeCauses(state.next, cause) }, wake);
    case "diverged": {
      const { catchUp } = state;
      return to({ ...state, catchUp: catchUp && { ...catchUp, next: mergeCauses(catchUp.next, cause) } }, wake);
    }
  }
}

function onCaughtUp(state: Running): Transition {
  const caughtUp = remember(state, { announced: undefined, catchUpFailures: 0 });
  switch (caughtUp.name) {
    case "catchingUp": {
      const { memory, next } = caughtUp;
      return to(
        next === undefined ? { name: "live", memory } : { name: "behind", memory, cause: next, isDelayed: false },
      );
    }
    case "diverged":
      // It began before the divergence. A snapshot is still needed.
      return to({ ...caughtUp, catchUp: undefined });
    default:
      return stay(state);
  }
}

function onCatchUpFailed(state: Running, { isStorageFailure, nowMs }: Input<"catchUpFailed">): Transition {
  const catchUpFailures = state.memory.catchUpFailures + 1;
  const { memory } = remember(state, { catchUpFailures });
  const retry: ReplicaCommand = { type: "retryLater", failures: catchUpFailures, kind: "catchUp" };
  // A failing disk is no answer of the primary.
  const isDoubtConfirmed = memory.isDoubted && !isStorageFailure;
  if (state.name === "diverged" && state.catchUp !== undefined) {
    // Then it does not help any more that the file proves to be sound.
    const isDamaged = state.isDamaged && !isDoubtConfirmed;
    return to({ ...state, memory, isDamaged, isDelayed: true, catchUp: undefined }, retry);
  }
  if (state.name !== "catchingUp") return stay(state);
  const behind: Behind = { name: "behind", memory, cause: "missed", isDelayed: true };
  if (!isDoubtConfirmed) return to(behind, retry);
  const reason = "a head of the event stream says so, and the primary does not answer";
  const diverged = diverge(behind, { reason, isDamage: false, nowMs });
  return { state: diverged.state, commands: [...diverged.commands, retry] };
}

function onSnapshotStarted(state: Running): ReplicaState {
  if (state.name === "catchingUp") return { ...state, cause: "missed" };
  if (state.name !== "diverged" || state.catchUp === undefined) return state;
  return { ...state, catchUp: { ...state.catchUp, cause: "missed" } };
}

function onSnapshotInstalled(state: Running, nowMs: number): ReplicaState {
  const catchUp = state.name === "diverged" ? state.catchUp : state.name === "catchingUp" ? state : undefined;
  if (catchUp === undefined) return state;
  const { cause, next } = catchUp;
  const fresh = { isDoubted: false, areFilesLost: false, replayFailures: 0, offsetAtHead: 0, snapshotAtMs: nowMs };
  return { name: "catchingUp", memory: { ...state.memory, ...fresh }, cause, next };
}

function onApplyFailed(state: Running, { failure, from, message, nowMs }: Input<"applyFailed">): Transition {
  // The event stream and a peer may be wrong. The primary's own log is asked next.
  if (failure === "conflict" && from === "stream") return to(state, { type: "requestCatchUp", cause: "missed" });
  if (failure === "conflict" && from === "peer") return stay(state);
  const { replayFailures } = state.memory;
  const failed = failure === "storage" ? state : remember(state, { replayFailures: replayFailures + 1 });
  // The primary's own log does not continue this database, so the database is wrong.
  if (failure === "conflict")
    return diverge(failed, { reason: `what follows does not fit it: ${message}`, isDamage: false, nowMs });
  return from === "stream" ? requested(failed, "missed") : to(failed);
}

function onHead(state: Running, { offset, position }: Input<"headReceived">): Transition {
  const next = remember(state, { offsetAtHead: position });
  // Events may overtake a head, but not those of a whole interval: then the primary has lost events of this database.
  return offset < state.memory.offsetAtHead ? requested(next, "missed") : to(next);
}

/**
 * Anybody with too many rights at a broker can forge a head. So the primary is asked first. The head alone counts only
 * if the primary cannot be asked (`catchUpFailed`).
 */
function onMismatch(state: Running, { from, offset, nowMs }: Input<"mismatchFound">): Transition {
  if (state.name === "diverged") return stay(state);
  if (from === "primary" || state.memory.isDoubted)
    return diverge(state, { reason: `it differs from the primary's at ${offset}`, isDamage: false, nowMs });
  const { state: next, commands } = requested(remember(state, { isDoubted: true }), "missed");
  return { state: next, commands: [{ type: "reportDoubt", offset }, ...commands] };
}

function diverge(state: Running, { reason, isDamage, nowMs }: Omit<Input<"distrusted">, "type">): Transition {
  if (state.name === "diverged") return to({ ...state, isDamaged: state.isDamaged && isDamage });
  const isRecent = nowMs - state.memory.snapshotAtMs < recentSnapshotMs;
  const badSnapshots = isRecent ? state.memory.badSnapshots + 1 : 0;
  const { memory } = remember(state, { badSnapshots });
  const isDelayed = isRecent || (state.name === "behind" && state.isDelayed);
  const catchUp = state.name === "catchingUp" ? { cause: state.cause, next: "missed" as const } : undefined;
  const commands: ReplicaCommand[] = [{ type: "reportDivergence", reason }];
  // If snapshots turn out wrong repeatedly, they are not the cause, and sending them must not keep other nodes busy.
  if (isRecent) commands.push({ type: "retryLater", failures: badSnapshots, kind: "snapshot" });
  return to({ name: "diverged", memory, isDamaged: isDamage, isDelayed, catchUp }, ...commands, { type: "wake" });
}

function onFileVerified(state: Running): Transition {
  if (state.name !== "diverged" || !state.isDamaged) return stay(state);
  const { memory } = remember(state, { replayFailures: 0 });
  const { catchUp } = state;
  return to(
    catchUp === undefined
      ? { name: "behind", memory, cause: "missed", isDelayed: false }
      : { name: "catchingUp", memory, cause: catchUp.cause, next: "missed" },
    { type: "wake" },
  );
}

function remember<S extends Running>(state: S, change: Partial<Memory>): S {
  return { ...state, memory: { ...state.memory, ...change } };
}

function to(state: ReplicaState, ...commands: readonly ReplicaCommand[]): Transition {
  return { state, commands };
}

function stay(state: ReplicaState): Transition {
  return { state, commands: [] };
}
