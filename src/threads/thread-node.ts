/**
 * The node as a thread that answers sees it: its role, its clock and its database, read-only. What only the main thread
 * can do throws, and then the main thread gets the request.
 */
import { Engine } from "../engine/engine.ts";
import { parseToken } from "../log/event/position.ts";
import type { AuditLog } from "../replication/audit/audit-recorder.ts";
import type { Node } from "../replication/node.ts";
import type { NodeHealth } from "../replication/node-health.ts";
import { PlanWarmUp } from "../replication/replica/plan-warm-up.ts";
import type { SharedDatabase } from "../store/connection/answer-gate.ts";
import type { Connection } from "../store/connection/connection.ts";
import { openStore } from "../store/connection/open-store.ts";
import { readSequence } from "../store/connection/sequence-lock.ts";
import { readState, type StoreState } from "../store/log/store-state.ts";
import { must } from "../util/assert.ts";
import { systemClock } from "../util/clock.ts";
import type { Permission } from "./messages.ts";

/** The main thread has to answer. */
export class OnlyMainThread extends Error {}

function onlyMainThread(): never {
  throw new OnlyMainThread();
}

/** The uses of API keys since the last report. */
class ThreadKeyUses {
  readonly #uses = new Map<string, number>();

  /** As `KeyUses.record`. */
  record(id: string, nowMs: number): void {
    this.#uses.set(id, nowMs);
  }

  readonly lastUsedMs = onlyMainThread;

  /** When each key was last used, in ms since 1970. */
  take(): readonly (readonly [id: string, atMs: number])[] {
    if (this.#uses.size === 0) return [];
    const taken = [...this.#uses];
    this.#uses.clear();
    return taken;
  }
}

export class ThreadNode implements Node {
  readonly role: NodeHealth["role"];
  readonly environment: string;
  readonly clock = systemClock;
  readonly keyUses = new ThreadKeyUses();
  readonly events = undefined;
  readonly writes = undefined;
  readonly forward = undefined;
  readonly promote = undefined;
  readonly mqttConnection = undefined;
  readonly survey = onlyMainThread;
  readonly replication = onlyMainThread;
  readonly backup = onlyMainThread;
  readonly stop = onlyMainThread;
  /** How old the data is, and when that was known. */
  #age: { readonly ms: number | null; readonly atMs: number };
  readonly #permission: Permission;
  readonly #store: Connection;
  /** A second connection: its transactions must not mix with those of queries. */
  readonly #reader: Connection;
  readonly #engine: Engine;
  readonly #plans: PlanWarmUp;
  #sequence: number | undefined;
  #state: StoreState | undefined;
  #newExpected: string | undefined;

  /** Throws if the database cannot be opened. */
  constructor(permission: Permission) {
    const { storePath, limits, changes, role, environment } = permission;
    this.#permission = permission;
    [this.role, this.environment] = [role, environment];
    this.#age = { ms: permission.ageMs, atMs: this.clock.monotonicMs() };
    using opened = new DisposableStack();
    const open = (): Connection =>
      opened.adopt(openStore(storePath, { readonly: true, addedTables: true }), (store) => store.close());
    [this.#store, this.#reader] = [open(), open()];
    this.#engine = new Engine(this.#store, { limits, changes, onServingThread: true });
    this.#plans = new PlanWarmUp(
      {
        read: () => JSON.stringify(permission.expected),
        write: (expected) => (this.#newExpected = expected),
      },
      this.clock,
    );
    this.#engine.warmUpPolicy();
    this.#plans.begin(this.#engine, this.state().policyId !== 0);
    opened.move();
  }

  /** Whether the main thread still permits answers. */
  get mayAnswer(): boolean {
    const { gate, number } = this.#permission;
    return Atomics.load(gate, 0) === number;
  }

  /** Whether the thread has just started, and plans its first questions. */
  get isWarmingUp(): boolean {
    return this.#plans.isFirst;
  }

  /** The questions that were asked, as JSON; undefined if there are no new ones since the last call. */
  takeExpected(): string | undefined {
    const expected = this.#newExpected;
    this.#newExpected = undefined;
    return expected;
  }

  engine(): Engine {
    return this.#engine;
  }

  state(): StoreState {
    const sequence = readSequence(this.#permission.changes);
    if (sequence !== undefined && sequence === this.#sequence && this.#state !== undefined) return this.#state;
    this.#sequence = sequence;
    const state = readState(this.#reader);
    const known = this.#state;
    if (known?.hash !== state.hash || known.epoch !== state.epoch || known.offset !== state.offset) {
      if (known !== undefined) this.#plans.onChange();
      this.#state = state;
    }
    return must(this.#state);
  }

  /** How old the data is now, in ms. */
  setAge(ms: number | null): void {
    this.#age = { ms, atMs: this.clock.monotonicMs() };
  }

  /** Of it, responses only have the age. */
  health(): NodeHealth {
    const { ms, atMs } = this.#age;
    const { epoch, term, offset, digest } = this.state();
    return {
      ...{ ok: true, storageOk: true, role: this.role, state: "LIVE", isBrokerConnected: false, brokers: [] },
      ...{ epoch, term, offset, digest },
      ageMs: ms === null ? null : ms + this.clock.monotonicMs() - atMs,
    };
  }

  /** A fallback ignores tokens, as `roles/fallback.ts` says. */
  async waitFor(token: string): Promise<void> {
    if (this.role === "fallback") return;
    const wanted = parseToken(token);
    const { epoch, offset } = this.state();
    if (wanted.epoch !== epoch || wanted.offset > offset) throw new OnlyMainThread();
  }

  async waitForLatest(): Promise<void> {
    if (this.role !== "fallback") throw new OnlyMainThread();
  }

  /** With `maxStaleness` one thread answers (`thread-count.ts`). */
  requireFresh(): void {}

  /** The main thread gets the request, and the same error. */
  reportDamage(): boolean {
    return false;
  }

  get id(): string {
    return onlyMainThread();
  }

  get audit(): AuditLog {
    return onlyMainThread();
  }

  get shared(): SharedDatabase {
    return onlyMainThread();
  }

  close(): void {
    this.#plans.end();
    this.#engine.close();
    this.#reader.close();
  }
}
