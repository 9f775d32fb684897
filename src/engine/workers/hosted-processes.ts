/**
 * What bounds the worker processes of one kind of all hosted environments in this process together: otherwise each
 * further environment could start as many as the first one. The default environment takes no part in it.
 */
import { currentEnvironment } from "../../telemetry/current-environment.ts";
import type { AppError } from "../../util/app-error.ts";
import { SlotPool } from "../../util/slot-pool.ts";
import { WorkerPool } from "./worker-pool.ts";

export class HostedProcesses {
  readonly #pool = new WorkerPool();
  readonly #slots = new Map<string, SharedSlots>();

  /** The pool of idle processes for a queue of the current environment. */
  poolOfThisEnvironment(): WorkerPool {
    return currentEnvironment() === undefined ? new WorkerPool() : this.#pool;
  }

  /** Slots of the current environment. `max` is its limit, and the same in all environments of a process. */
  slots(purpose: "running" | "slow" | "parts", max: number, description: string): ProcessSlots {
    const environment = currentEnvironment();
    const own = new SlotPool(max, description);
    if (environment === undefined) return new ProcessSlots(own);
    let shared = this.#slots.get(purpose);
    if (shared === undefined) this.#slots.set(purpose, (shared = new SharedSlots(max, description)));
    return new ProcessSlots(own, { slots: shared, environment });
  }
}

/**
 * Slots that environments share. There are twice as many as one environment may have, so that an environment alone gets
 * all of its own, and no environment gets more than half of those that are free.
 */
class SharedSlots extends SlotPool {
  /** In the order in which they began to wait. */
  readonly #waiting = new Set<() => void>();

  constructor(environmentMax: number, description: string) {
    super(2 * environmentMax, description, "environment");
  }

  /** Calls `onFree` once, when a slot is free again. */
  wait(onFree: () => void): void {
    this.#waiting.add(onFree);
  }

  override release(environment: string): void {
    super.release(environment);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const onFree of waiting) onFree();
  }
}

/** The slots of one environment, which its API keys share. In a hosted environment each is also a shared slot. */
export class ProcessSlots {
  readonly #own: SlotPool;
  readonly #shared: { readonly slots: SharedSlots; readonly environment: string } | undefined;

  constructor(own: SlotPool, shared?: { readonly slots: SharedSlots; readonly environment: string }) {
    this.#own = own;
    this.#shared = shared;
  }

  /** If only other environments are in the way, `onFree` is called when that may have changed. */
  canAcquire(holder: string, onFree?: () => void): boolean {
    if (!this.#own.canAcquire(holder)) return false;
    if (this.#shared === undefined || this.#shared.slots.canAcquire(this.#shared.environment)) return true;
    if (onFree !== undefined) this.#shared.slots.wait(onFree);
    return false;
  }

  /** Throws `too_many_requests` if the holder or the environment may not have another slot. */
  acquire(holder: string): void {
    if (!this.canAcquire(holder)) throw this.refusalError(holder);
    this.#own.acquire(holder);
    this.#shared?.slots.acquire(this.#shared.environment);
  }

  release(holder: string): void {
    this.#own.release(holder);
    this.#shared?.slots.release(this.#shared.environment);
  }

  refusalError(holder: string): AppError {
    if (this.#shared === undefined || !this.#own.canAcquire(holder)) return this.#own.refusalError(holder);
    return this.#shared.slots.refusalError(this.#shared.environment);
  }
}
