/** The state machine of a replica: a table of each state with each input, and properties of random sequences. */
import { describe, expect, test } from "bun:test";
import {
  type Behind,
  catchUpCause,
  type CatchingUp,
  type Diverged,
  initialState,
  isDiverged,
  type Live,
  recentSnapshotMs,
  type ReplicaCommand,
  type ReplicaInput,
  type ReplicaState,
  type Transition,
  transition,
} from "../../src/replication/replica/replica-state.ts";
import type { EventBatch } from "../../src/replication/transport/messages.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { Random } from "../sim/random.ts";

const epoch = "0123456789abcdef";
const position = { epoch, term: 5, offset: 10 } as StoreState;
const nowMs = 10 * recentSnapshotMs;

/** A batch of the events from `first` to `last`. */
function batch(first: number, last: number, change: Partial<EventBatch> = {}): EventBatch {
  const offsets = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  const ev = offsets.map((offset): EventBatch["ev"][number] => [offset, 0, "batch", "{}", null]);
  return { v: 1, s: "test", e: epoch, n: 5, t: 0, p: first - 1, l: last, h: epoch, d: epoch, ev, ...change };
}

function ready(received?: EventBatch): ReplicaInput {
  return { type: "ready", position, received: received && { batch: received, bytes: 100, atMs: 7 } };
}

const nextBatch = batch(11, 12);
const gapBatch = batch(13, 14);
const withoutBodies = batch(11, 11, { ev: [[11, 0, "batch", { ref: "0".repeat(64), size: 9 }, null]] });

const { memory } = initialState;
const live: Live = { name: "live", memory };
const behind: Behind = { name: "behind", memory, cause: "announced", isDelayed: false };
const catchingUp: CatchingUp = { name: "catchingUp", memory, cause: "announced", next: undefined };
const diverged: Diverged = { name: "diverged", memory, isDamaged: false, isDelayed: false, catchUp: undefined };
const running = { cause: "announced", next: undefined } as const;

const states = {
  live,
  behind,
  "behind, delayed": { ...behind, isDelayed: true },
  catchingUp,
  "catchingUp twice": { ...catchingUp, next: "polled" },
  diverged,
  "diverged, delayed": { ...diverged, isDelayed: true },
  "diverged, catchingUp": { ...diverged, catchUp: running },
  damaged: { ...diverged, isDamaged: true },
  "damaged, catchingUp": { ...diverged, isDamaged: true, catchUp: running },
  stopped: { name: "stopped", isDiverged: false },
} as const satisfies Record<string, ReplicaState>;

const failed = { type: "applyFailed", message: "", nowMs } as const;
const inputs = {
  "ready: nothing received": ready(),
  "ready: next batch": ready(nextBatch),
  "ready: old batch": ready(batch(9, 10)),
  "ready: overlapping batch": ready(batch(9, 12)),
  "ready: batch after a gap": ready(gapBatch),
  "ready: batch without bodies": ready(withoutBodies),
  "ready: batch of a later epoch": ready(batch(11, 12, { e: "fedcba9876543210", n: 6 })),
  "ready: batch of an earlier epoch": ready(batch(11, 12, { e: "fedcba9876543210", n: 4 })),
  "catchUpRequested: missed": { type: "catchUpRequested", cause: "missed" },
  "catchUpRequested: polled": { type: "catchUpRequested", cause: "polled" },
  retryDue: { type: "retryDue" },
  caughtUp: { type: "caughtUp" },
  catchUpFailed: { type: "catchUpFailed", isStorageFailure: false, nowMs },
  snapshotStarted: { type: "snapshotStarted" },
  snapshotInstalled: { type: "snapshotInstalled", nowMs },
  applied: { type: "applied" },
  "applyFailed: conflict, stream": { ...failed, failure: "conflict", from: "stream" },
  "applyFailed: conflict, peer": { ...failed, failure: "conflict", from: "peer" },
  "applyFailed: conflict, primary": { ...failed, failure: "conflict", from: "primary" },
  "applyFailed: storage, stream": { ...failed, failure: "storage", from: "stream" },
  "applyFailed: other, primary": { ...failed, failure: "other", from: "primary" },
  headReceived: { type: "headReceived", offset: 10, position: 10 },
  "mismatchFound: stream": { type: "mismatchFound", from: "stream", offset: 10, nowMs },
  "mismatchFound: primary": { type: "mismatchFound", from: "primary", offset: 10, nowMs },
  primaryReached: { type: "primaryReached" },
  "distrusted: damage": { type: "distrusted", reason: "", isDamage: true, nowMs },
  "distrusted: other": { type: "distrusted", reason: "", isDamage: false, nowMs },
  fileVerified: { type: "fileVerified" },
  filesLost: { type: "filesLost" },
  stopped: { type: "stopped" },
} as const satisfies Record<string, ReplicaInput>;

/** A state in one line, without its memory. */
function stateText(state: ReplicaState): string {
  switch (state.name) {
    case "live":
      return "live";
    case "behind":
      return `behind ${state.cause}${state.isDelayed ? " delayed" : ""}`;
    case "catchingUp":
      return `catchingUp ${state.cause}${state.next === undefined ? "" : ` then ${state.next}`}`;
    case "diverged": {
      const { isDamaged, isDelayed, catchUp } = state;
      const parts = [isDamaged ? "damaged" : "diverged", ...(isDelayed ? ["delayed"] : [])];
      if (catchUp !== undefined) parts.push(stateText({ name: "catchingUp", memory, ...catchUp }));
      return parts.join(" ");
    }
    case "stopped":
      return state.isDiverged ? "stopped diverged" : "stopped";
  }
}

function commandText(command: ReplicaCommand): string {
  switch (command.type) {
    case "catchUp":
      return `catchUp from ${command.from}`;
    case "apply":
      return `apply ${command.rows.map(({ offset }) => offset).join(" ")}`;
    case "drop":
      return command.isDuplicate ? "drop duplicate" : "drop";
    case "requestCatchUp":
      return `request ${command.cause}`;
    case "retryLater":
      return `retry ${command.kind}`;
    default:
      return command.type;
  }
}

/** `same` for the state that it was. */
function transitionText(from: ReplicaState, input: ReplicaInput): string {
  const { state, commands } = transition(from, input);
  const text = stateText(state) === stateText(from) ? "same" : stateText(state);
  return commands.length === 0 ? text : `${text}: ${commands.map(commandText).join(", ")}`;
}

type Row = Partial<Record<keyof typeof states, string>>;

/** A free loop catches up before it looks at batches. */
const readyToCatchUp: Row = {
  behind: "catchingUp announced: catchUp from position",
  diverged: "diverged catchingUp missed: catchUp from snapshot",
  damaged: "damaged catchingUp missed: catchUp from snapshot",
};
const woken: Row = {
  diverged: "same: wake",
  "diverged, delayed": "same: wake",
  damaged: "same: wake",
};
const missed: Row = {
  ...woken,
  live: "behind missed: wake",
  behind: "behind missed: wake",
  "behind, delayed": "behind missed delayed: wake",
  catchingUp: "catchingUp announced then missed: wake",
  "catchingUp twice": "catchingUp announced then missed: wake",
  "diverged, catchingUp": "diverged catchingUp announced then missed: wake",
  "damaged, catchingUp": "damaged catchingUp announced then missed: wake",
};
const divergence: Row = {
  live: "diverged: reportDivergence, wake",
  behind: "diverged: reportDivergence, wake",
  "behind, delayed": "diverged delayed: reportDivergence, wake",
  catchingUp: "diverged catchingUp announced then missed: reportDivergence, wake",
  "catchingUp twice": "diverged catchingUp announced then missed: reportDivergence, wake",
};
/** A divergence that is no damage ends the hope that a check finds the file sound. */
const differs: Row = { ...divergence, damaged: "diverged", "damaged, catchingUp": "diverged catchingUp announced" };
const requestedThroughBackoff = Object.fromEntries(
  Object.keys(states).map((name) => [name, name === "stopped" ? "same" : "same: request missed"]),
) as Row;

/** Where no entry is given, the state stays the same and there is no command. So `stopped` has none. */
const table: Record<keyof typeof inputs, Row> = {
  "ready: nothing received": readyToCatchUp,
  "ready: next batch": {
    ...readyToCatchUp,
    live: "same: apply 11 12",
    "behind, delayed": "same: apply 11 12",
  },
  "ready: old batch": {
    ...readyToCatchUp,
    live: "same: drop duplicate",
    "behind, delayed": "same: drop duplicate",
  },
  "ready: overlapping batch": {
    ...readyToCatchUp,
    live: "same: apply 11 12",
    "behind, delayed": "same: apply 11 12",
  },
  "ready: batch after a gap": { ...readyToCatchUp, live: "same: reportGap, request missed" },
  "ready: batch without bodies": { ...readyToCatchUp, live: "same: drop, request announced" },
  "ready: batch of a later epoch": { ...readyToCatchUp, live: "same: reportGap, drop, request missed" },
  "ready: batch of an earlier epoch": {
    ...readyToCatchUp,
    live: "same: drop duplicate",
    "behind, delayed": "same: drop duplicate",
  },
  "catchUpRequested: missed": missed,
  "catchUpRequested: polled": {
    ...woken,
    live: "behind polled: wake",
    behind: "same: wake",
    "behind, delayed": "same: wake",
    catchingUp: "catchingUp announced then polled: wake",
    "catchingUp twice": "same: wake",
    "diverged, catchingUp": "diverged catchingUp announced then polled: wake",
    "damaged, catchingUp": "damaged catchingUp announced then polled: wake",
  },
  retryDue: {
    ...woken,
    live: "same: wake",
    behind: "same: wake",
    "behind, delayed": "behind announced: wake",
    catchingUp: "same: wake",
    "catchingUp twice": "same: wake",
    "diverged, delayed": "diverged: wake",
    "diverged, catchingUp": "same: wake",
    "damaged, catchingUp": "same: wake",
  },
  caughtUp: {
    catchingUp: "live",
    "catchingUp twice": "behind polled",
    "diverged, catchingUp": "diverged",
    "damaged, catchingUp": "damaged",
  },
  catchUpFailed: {
    catchingUp: "behind missed delayed: retry catchUp",
    "catchingUp twice": "behind missed delayed: retry catchUp",
    "diverged, catchingUp": "diverged delayed: retry catchUp",
    "damaged, catchingUp": "damaged delayed: retry catchUp",
  },
  snapshotStarted: {
    catchingUp: "catchingUp missed",
    "catchingUp twice": "catchingUp missed then polled",
    "diverged, catchingUp": "diverged catchingUp missed",
    "damaged, catchingUp": "damaged catchingUp missed",
  },
  snapshotInstalled: {
    "diverged, catchingUp": "catchingUp announced",
    "damaged, catchingUp": "catchingUp announced",
  },
  applied: {},
  "applyFailed: conflict, stream": requestedThroughBackoff,
  "applyFailed: conflict, peer": {},
  "applyFailed: conflict, primary": differs,
  "applyFailed: storage, stream": missed,
  "applyFailed: other, primary": {},
  headReceived: {},
  "mismatchFound: stream": {
    live: "behind missed: reportDoubt, wake",
    behind: "behind missed: reportDoubt, wake",
    "behind, delayed": "behind missed delayed: reportDoubt, wake",
    catchingUp: "catchingUp announced then missed: reportDoubt, wake",
    "catchingUp twice": "catchingUp announced then missed: reportDoubt, wake",
  },
  "mismatchFound: primary": divergence,
  primaryReached: {},
  "distrusted: damage": {
    live: "damaged: reportDivergence, wake",
    behind: "damaged: reportDivergence, wake",
    "behind, delayed": "damaged delayed: reportDivergence, wake",
    catchingUp: "damaged catchingUp announced then missed: reportDivergence, wake",
    "catchingUp twice": "damaged catchingUp announced then missed: reportDivergence, wake",
  },
  "distrusted: other": differs,
  fileVerified: {
    damaged: "behind missed: wake",
    "damaged, catchingUp": "catchingUp announced then missed: wake",
  },
  filesLost: missed,
  stopped: {
    ...Object.fromEntries(
      Object.entries(states).map(([name, { name: kind }]) => [
        name,
        kind === "stopped" ? "same" : kind === "diverged" ? "stopped diverged" : "stopped",
      ]),
    ),
  },
};

describe("each state with each input:", () => {
  test.each(Object.keys(inputs) as (keyof typeof inputs)[])("%s", (name) => {
    const names = Object.keys(states) as (keyof typeof states)[];
    const actual = Object.fromEntries(names.map((state) => [state, transitionText(states[state], inputs[name])]));
    const expected = Object.fromEntries(names.map((state) => [state, table[name][state] ?? "same"]));
    expect(actual).toEqual(expected);
  });
});

describe("what a replica remembers", () => {
  /** The states after each input, beginning with `from`. */
  function run(from: ReplicaState, ...steps: readonly ReplicaInput[]): Transition {
    let [state, commands]: [ReplicaState, readonly ReplicaCommand[]] = [from, []];
    for (const input of steps) ({ state, commands } = transition(state, input));
    return { state, commands };
  }
  const summary = ({ state, commands }: Transition): string =>
    [stateText(state), ...commands.map(commandText)].join(", ");

  test("a batch after a gap waits for one catch-up, and is dropped if that does not fill the gap", () => {
    expect(summary(run(live, ready(gapBatch), ready(gapBatch)))).toBe("live, drop, request missed");
  });

  test("a batch that follows announced events shows no gap", () => {
    const announced = batch(11, 12, { ev: withoutBodies.ev });
    expect(summary(run(live, ready(announced), ready(gapBatch)))).toBe("live, request announced");
    const later = batch(15, 16);
    expect(summary(run(live, ready(announced), ready(later)))).toBe("live, reportGap, request missed");
  });

  test("after three failures to apply the same events, a snapshot replaces the database", () => {
    const failure = inputs["applyFailed: other, primary"];
    const again = [inputs.catchUpFailed, inputs.retryDue, ready()];
    const twice = [failure, ...again, failure, ...again];
    expect(summary(run(catchingUp, ...twice))).toBe("catchingUp missed, catchUp from position");
    expect(summary(run(catchingUp, ...twice, failure, ...again))).toBe("catchingUp missed, catchUp from snapshot");
    const applied = [...twice, inputs.applied, failure, ...again];
    expect(summary(run(catchingUp, ...applied))).toBe("catchingUp missed, catchUp from position");
  });

  test("lost files are replaced by a snapshot, and only once", () => {
    expect(summary(run(live, inputs.filesLost, ready()))).toBe("catchingUp missed, catchUp from snapshot");
    expect(summary(run(live, inputs.filesLost, inputs.filesLost))).toBe("behind missed");
    const replaced = [inputs.filesLost, ready(), inputs.snapshotInstalled, inputs.caughtUp, inputs.filesLost];
    expect(summary(run(live, ...replaced))).toBe("behind missed, wake");
  });

  test("a head of the event stream alone makes a database diverge only if the primary does not answer", () => {
    const doubted = run(live, inputs["mismatchFound: stream"], ready()).state;
    expect(summary(run(doubted, inputs.primaryReached, inputs.catchUpFailed))).toStartWith("behind missed delayed");
    const storage: ReplicaInput = { type: "catchUpFailed", isStorageFailure: true, nowMs };
    expect(summary(run(doubted, storage))).toBe("behind missed delayed, retry catchUp");
    const failed = "diverged delayed, reportDivergence, wake, retry catchUp";
    expect(summary(run(doubted, inputs.catchUpFailed))).toBe(failed);
    expect(summary(run(doubted, inputs["mismatchFound: stream"]))).toStartWith("diverged catchingUp");
  });

  test("a sound file does not save a database that a head doubts if the primary does not answer", () => {
    const damaged = run(live, inputs["mismatchFound: stream"], ready(), inputs["distrusted: damage"]).state;
    const failed = run(damaged, inputs.catchUpFailed);
    expect(summary(failed)).toBe("diverged delayed, retry catchUp");
    expect(summary(run(failed.state, inputs.fileVerified))).toBe("diverged delayed");
    const storage: ReplicaInput = { type: "catchUpFailed", isStorageFailure: true, nowMs };
    expect(summary(run(damaged, storage, inputs.fileVerified))).toBe("behind missed, wake");
  });

  test("snapshots that diverge one after the other are fetched less and less often", () => {
    let state: ReplicaState = live;
    for (const failures of [1, 2, 3]) {
      const steps = [ready(), inputs.snapshotInstalled, inputs.caughtUp, ready()];
      ({ state } = run(state, inputs["distrusted: other"], inputs.retryDue, ...steps));
      const { commands } = transition(state, inputs["distrusted: other"]);
      expect(commands).toContainEqual({ type: "retryLater", failures, kind: "snapshot" });
    }
    const later: ReplicaInput = { ...inputs["distrusted: other"], nowMs: nowMs + recentSnapshotMs };
    expect(summary(transition(state, later))).toBe("diverged, reportDivergence, wake");
  });

  test("a head behind the last one shows that the primary has lost events", () => {
    const head = (offset: number): ReplicaInput => ({ type: "headReceived", offset, position: 10 });
    expect(summary(run(live, head(10), head(9)))).toBe("behind missed, wake");
    expect(summary(run(live, head(10), head(11)))).toBe("live");
  });
});

/** Performs commands as the loop does, with outcomes by chance. */
class RandomLoop {
  readonly #random: Random;
  state: ReplicaState = initialState;
  isCatchingUp = false;
  hasTimer = false;

  constructor(random: Random) {
    this.#random = random;
  }

  step(): void {
    const { type } = this.#random.pick(Object.values(inputs));
    const isOutcome = ["caughtUp", "catchUpFailed", "snapshotStarted", "snapshotInstalled"].includes(type);
    const choices = Object.values(inputs).filter((input) => input.type === type);
    const input = this.#random.pick(choices);
    if (input.type === "stopped" || (isOutcome && !this.isCatchingUp) || (type === "ready" && this.isCatchingUp))
      return;
    if (type === "retryDue" && !this.hasTimer) return;
    this.send(input);
  }

  send(input: ReplicaInput): void {
    const before = this.state;
    const { state, commands } = transition(before, input);
    this.state = state;
    if (input.type === "retryDue") this.hasTimer = false;
    if (input.type === "caughtUp" || input.type === "catchUpFailed") this.isCatchingUp = false;
    for (const command of commands) {
      if (command.type === "retryLater") this.hasTimer = true;
      if (command.type === "apply") expect([isDiverged(before), this.isCatchingUp]).toEqual([false, false]);
      if (command.type === "catchUp") {
        expect(this.isCatchingUp).toBe(false);
        this.isCatchingUp = true;
        if (isDiverged(before)) expect(command.from).toBe("snapshot");
      }
    }
    if (isDiverged(before) && !isDiverged(state)) expect(["snapshotInstalled", "fileVerified"]).toContain(input.type);
    // Nothing would wake a replica that waits for a timer which was never started.
    if ("isDelayed" in state && state.isDelayed) expect(this.hasTimer).toBe(true);
    expect(catchUpCause(state) !== undefined).toBe(this.isCatchingUp);
  }

  /** From now on all is well. */
  recover(): void {
    for (let round = 0; round < 5 && this.state.name !== "live"; round++) {
      if (this.hasTimer) this.send(inputs.retryDue);
      if (!this.isCatchingUp) this.send(ready());
      if (isDiverged(this.state)) this.send(inputs.snapshotInstalled);
      this.send(inputs.caughtUp);
    }
  }
}

test("random inputs: no batch is applied to a diverged database, and each replica can become live again", () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 300; seed++) {
    const loop = new RandomLoop(new Random(seed));
    for (let step = 0; step < 100; step++) {
      loop.step();
      seen.add(loop.state.name);
    }
    loop.recover();
    expect(loop.state.name).toBe("live");
  }
  expect([...seen].toSorted()).toEqual(["behind", "catchingUp", "diverged", "live"]);
});
