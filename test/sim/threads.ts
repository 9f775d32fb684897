/**
 * The workers of a simulated node, in the thread of the test: the same commands behind the same kind of port, with a
 * delay in each direction. Messages are copied as between threads.
 */
import type { Limits } from "../../src/config/limits.ts";
import { approvePolicy } from "../../src/engine/validation/policy-approval.ts";
import type { ApprovePolicy } from "../../src/log/append/policy-approval.ts";
import { snapshotCommands } from "../../src/replication/snapshots/snapshot-commands.ts";
import { StoreWriter, type WriterEvent } from "../../src/log/writer/store-writer.ts";
import { writerCommands } from "../../src/log/writer/writer-commands.ts";
import {
  connectChannel,
  serveCommands,
  withEncoding,
  type Commands,
  type WorkerHandle,
  type WorkerKind,
} from "../../src/runtime/worker.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { must } from "../../src/util/assert.ts";
import type { Clock } from "../../src/util/clock.ts";
import type { SimulatedDisk } from "./disks.ts";
import { mutateWriter, type Mutation } from "./mutations.ts";
import type { Random } from "./random.ts";
import type { Owner, Time } from "./time.ts";
import { watchedWriter, type StoreWatcher } from "./observed-writer.ts";

export interface ThreadOptions {
  readonly time: Time;
  readonly owner: Owner;
  readonly clock: Clock;
  readonly random: Random;
  readonly machineDisk: SimulatedDisk;
  readonly watcher: StoreWatcher;
  readonly mutation: Mutation;
  /** Called with the node's writer, which has open files. */
  readonly onWriter: (writer: StoreWriter) => void;
}

const delayMsMax = 2;
/** Long enough that other policies can become active meanwhile. */
const checkDelayMsMax = 500;

export function spawnSimulated<C extends Commands, Event>(
  { name, encoding }: WorkerKind,
  options: ThreadOptions,
): WorkerHandle<C, Event> {
  const { time, owner, clock, random, machineDisk, watcher, mutation, onWriter } = options;
  const here = new Line(time, owner, random);
  const there = new Line(time, owner, random);
  const near = withEncoding(encoding, { send: (message) => there.send(message), onMessage: here.onMessage });
  const far = withEncoding(encoding, { send: (message) => here.send(message), onMessage: there.onMessage });
  if (name === "writer") {
    let moving: StoreState | undefined;
    const writer = new StoreWriter((event) => {
      if ("committing" in event) moving = event.committing.state;
      if ("committed" in event) watcher.moved(must(moving));
      emit(event);
    }, clock);
    onWriter(writer);
    const commands = watchedWriter(mutateWriter(mutation, owner, writerCommands(writer)), watcher);
    const emit = serveCommands<typeof commands, WriterEvent>(commands, () => commands.close(), far);
  } else if (name === "snapshot") {
    const commands = snapshotCommands();
    const counted = {
      ...commands,
      buildSnapshot(...call: Parameters<typeof commands.buildSnapshot>) {
        machineDisk.requireRoom();
        return time.working(commands.buildSnapshot(...call));
      },
      verifySnapshot: (...call: Parameters<typeof commands.verifySnapshot>) =>
        time.working(commands.verifySnapshot(...call)),
      unpackSnapshot(...call: Parameters<typeof commands.unpackSnapshot>) {
        machineDisk.requireRoom();
        return time.working(commands.unpackSnapshot(...call));
      },
      read(...call: Parameters<typeof commands.read>) {
        const state = commands.read(...call);
        watcher.found(state);
        return state;
      },
    };
    serveCommands<typeof counted, never>(counted, () => commands.close(), far);
  } else throw new Error(`no simulated node has a worker \`${name}\``);
  return connectChannel<C, Event>({ ...near, onEnd: () => {}, end: () => {} });
}

/**
 * Replaces the worker processes that check policies. The check itself takes no simulated time, but its queue and its
 * messages do.
 */
export function approveSimulated(
  { time, owner, random }: Pick<ThreadOptions, "time" | "owner" | "random">,
  limits: Limits,
): ApprovePolicy {
  return async ({ storePath, ...policy }) => {
    await time.sleep(random.between(0, checkDelayMsMax), owner);
    const approval = approvePolicy(policy, limits, (body) => {
      const store = openStore(storePath, { readonly: true });
      try {
        return store.transaction(() => body(store));
      } finally {
        store.close();
      }
    });
    await time.sleep(random.between(0, checkDelayMsMax), owner);
    return approval;
  };
}

/** Messages arrive in the order in which they were sent. */
class Line {
  readonly #time: Time;
  readonly #owner: Owner;
  readonly #random: Random;
  #listener: (message: unknown) => void = () => {};
  #lastMs = 0;

  constructor(time: Time, owner: Owner, random: Random) {
    this.#time = time;
    this.#owner = owner;
    this.#random = random;
  }

  readonly onMessage = (listener: (message: unknown) => void): void => {
    this.#listener = listener;
  };

  send(message: unknown): void {
    const copy = structuredClone(message);
    this.#lastMs = Math.max(this.#lastMs, this.#time.nowMs + this.#random.between(0, delayMsMax));
    this.#time.at(this.#lastMs - this.#time.nowMs, this.#owner, () => this.#listener(copy));
  }
}
