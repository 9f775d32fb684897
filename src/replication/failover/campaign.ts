/**
 * An edge's part in automatic failover: it watches the lease, takes it when it is free, and asks the other nodes for their votes. Of several edges the one
 * that has come furthest tries first. Where a promotion fails the lease is given back at once, so that another edge can try.
 */
import { compareEpochs, type EpochId } from "../../store/log/epochs.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { sleep, type Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { epochOf, type NodeHead } from "../transport/messages.ts";
import type { Lease } from "./lease/lease.ts";
import { Leadership } from "./leadership.ts";

const log = getLogger("failover");

/** How long a node waits for each one that has come further. */
const rankDelayMs = 700;
/** After a promotion that failed. */
const retryPauseMs = 1500;

interface CampaignOptions {
  readonly lease: Lease;
  /** This node's id. */
  readonly id: string;
  readonly ttlMs: number;
  readonly clock: Clock;
  /** Where this edge stands. Undefined while it can't become the primary. */
  readonly position: () => (EpochId & { readonly offset: number }) | undefined;
  /** The greatest term that it has promised. */
  readonly promisedTerm: () => number;
  readonly heads: () => Promise<readonly NodeHead[]>;
  /** Whether this node is being promoted, by an operator or by this campaign. */
  readonly isPromoting: () => boolean;
  /** Takes the lease, asks for votes and makes this node the primary. The lease is given back where that fails. */
  readonly promote: (acquire: () => Promise<Leadership>) => Promise<unknown>;
}

export class Campaign {
  readonly #options: CampaignOptions;
  #freeSinceMs: number | undefined;
  #notBeforeMs = 0;
  #isStopped = false;
  #problem: string | undefined;
  #refusal: string | undefined;
  #cancel = (): void => {};

  constructor(options: CampaignOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#lookAndGoOn();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  async #lookAndGoOn(): Promise<void> {
    await this.#look().catch((error: unknown) => this.#noteOutcome(reasonOf(error)));
    if (!this.#isStopped) this.#cancel = this.#options.clock.after(this.#options.ttlMs / 6, () => this.start());
  }

  /**
   * Takes the lease for a promotion that an operator asks for: at once where it is free or with `force`, otherwise when it expires. AppError `conflict` where
   * another node keeps it, `not_ready` where the engine gives no answer.
   */
  async acquireForOperator(force: boolean): Promise<Leadership> {
    const { lease, clock, ttlMs } = this.#options;
    const endMs = clock.monotonicMs() + 1.5 * ttlMs;
    for (;;) {
      const leadership = await this.#acquire(await this.#options.heads(), force).catch((cause: unknown) => {
        throw new AppError(
          "not_ready",
          `the lease can't be had: ${reasonOf(cause)}. Promote again when ${lease.engine} answers, or remove \`failover\` from the configuration of all nodes to promote without it`,
          { cause },
        );
      });
      if (leadership !== undefined) return leadership;
      if (clock.monotonicMs() > endMs) throw new AppError("conflict", await this.#whoHolds());
      await sleep(clock, ttlMs / 20);
    }
  }

  async #whoHolds(): Promise<string> {
    const state = await this.#options.lease.holder().catch(() => undefined);
    return `${state?.record.node ?? "another node"} holds the lease of the primary: let it hand over (--graceful), stop it first, or use force`;
  }

  async #look(): Promise<void> {
    const { lease, clock, isPromoting, promote } = this.#options;
    const state = await lease.holder();
    this.#noteOutcome(undefined);
    if (state?.isHeld === true) {
      this.#freeSinceMs = undefined;
      return;
    }
    this.#freeSinceMs ??= clock.monotonicMs();
    if (clock.monotonicMs() < this.#notBeforeMs || isPromoting()) return;
    const heads = await this.#options.heads();
    const rank = this.#rank(heads);
    if (rank === undefined || clock.monotonicMs() < this.#freeSinceMs + rank * rankDelayMs) return;
    if (this.#isStopped || isPromoting()) return;
    try {
      await promote(() => this.#acquireFree(heads));
    } catch (error) {
      if (error instanceof LeaseTakenError) return;
      this.#noteRefusal(reasonOf(error));
      this.#notBeforeMs = clock.monotonicMs() + retryPauseMs;
    }
  }

  async #acquireFree(heads: readonly NodeHead[]): Promise<Leadership> {
    const leadership = await this.#acquire(heads, false);
    if (leadership === undefined) throw new LeaseTakenError();
    log.warning("this edge has the lease of term {term} and asks for votes", { term: leadership.term });
    return leadership;
  }

  /** How many others should try before this node. Undefined where it can't be the primary. */
  #rank(heads: readonly NodeHead[]): number | undefined {
    const own = this.#options.position();
    if (own === undefined) return undefined;
    const { id } = this.#options;
    return heads.filter((head) => {
      const further = compareEpochs(epochOf(head), own) || head.l - own.offset;
      return head.role === "edge" && (further > 0 || (further === 0 && (head.node ?? "") < id));
    }).length;
  }

  /** Of a term that is later than all that this node and the others know of. */
  async #acquire(heads: readonly NodeHead[], force: boolean): Promise<Leadership | undefined> {
    const { lease, ttlMs, clock, position: standing, promisedTerm: promised } = this.#options;
    const known = Math.max(standing()?.term ?? 0, promised(), ...heads.flatMap((head) => [head.n, head.promised ?? 0]));
    return Leadership.acquire({ lease, minTerm: known, force, ttlMs, clock });
  }

  /** Logs the same reason once: it may last until an operator does something. */
  #noteRefusal(reason: string): void {
    if (reason !== this.#refusal) log.warning("this edge was not promoted, and tries on: {reason}", { reason });
    this.#refusal = reason;
  }

  /** Logs the first failure; the next one only after a success. */
  #noteOutcome(problem: string | undefined): void {
    if (problem !== undefined && this.#problem === undefined)
      log.warning("the lease of the primary can't be looked at: {reason}", { reason: problem });
    this.#problem = problem;
  }
}

/** Another edge was faster. */
class LeaseTakenError extends AppError {
  constructor() {
    super("conflict", "another node has taken the lease: look in a moment who is the primary");
  }
}
