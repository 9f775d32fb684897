/**
 * Automatic failover, from an edge's view: it watches the lease, acquires it when it is free, and requests the votes of
 * the other nodes. Of several edges, the one that is furthest on tries first. If a promotion
 * fails, the lease is released immediately, so that another edge can try.
 */
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { sleep } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { epochOf, type NodeHead } from "../transport/messages.ts";
import type { Lease } from "../lease/lease.ts";
import { LeaseLeadership } from "./lease-leadership.ts";
import type { VotingEdge } from "./promotion.ts";

const log = getLogger("failover");

/** How long a node waits for each node that is further on. */
const rankDelayMs = 700;
/** The pause after a failed promotion. */
const retryPauseMs = 1500;

interface LeaseWatchOptions {
  readonly lease: Lease;
  /** Whether this node is being promoted, by an operator or by itself. */
  readonly isPromoting: () => boolean;
  /** Acquires the lease, requests votes and makes this node the primary. Releases the lease if that fails. */
  readonly promote: (acquire: () => Promise<LeaseLeadership>) => Promise<unknown>;
}

export class LeaseWatch {
  readonly #edge: VotingEdge;
  readonly #options: LeaseWatchOptions;
  #freeSinceMs: number | undefined;
  #notBeforeMs = 0;
  #isStopped = false;
  #problem: string | undefined;
  #refusal: string | undefined;
  #cancel = (): void => {};

  constructor(edge: VotingEdge, options: LeaseWatchOptions) {
    this.#edge = edge;
    this.#options = options;
  }

  start(): void {
    void this.#checkRepeatedly();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  async #checkRepeatedly(): Promise<void> {
    await this.#check().catch((error: unknown) => this.#logOutcome(reasonOf(error)));
    const { config, clock } = this.#edge;
    if (!this.#isStopped) this.#cancel = clock.after(config.failoverTtl / 6, () => this.start());
  }

  /**
   * Acquires the lease: immediately if it is free or with `force`, otherwise when it expires. AppError `conflict` if
   * another node keeps it, `not_ready` if the coordination service does not answer.
   */
  async acquireForOperator(force: boolean): Promise<LeaseLeadership> {
    const { config, clock } = this.#edge;
    const { lease } = this.#options;
    const endMs = clock.monotonicMs() + 1.5 * config.failoverTtl;
    for (;;) {
      const leadership = await this.#acquire(await this.#heads(), force).catch((cause: unknown) => {
        throw new AppError(
          "not_ready",
          `the lease cannot be acquired: ${reasonOf(cause)}. Promote again when ${lease.service} answers, or remove \`failover\` from the configuration of all nodes to promote without it`,
          { cause },
        );
      });
      if (leadership !== undefined) return leadership;
      if (clock.monotonicMs() > endMs) throw new AppError("conflict", await this.#whoHolds());
      await sleep(clock, config.failoverTtl / 20);
    }
  }

  async #whoHolds(): Promise<string> {
    const state = await this.#options.lease.holder().catch(() => undefined);
    return `${state?.record.node ?? "another node"} holds the lease of the primary: let it hand over (--graceful), stop it first, or use --force`;
  }

  async #check(): Promise<void> {
    const { clock } = this.#edge;
    const { lease, isPromoting, promote } = this.#options;
    const state = await lease.holder();
    this.#logOutcome(undefined);
    if (state?.isHeld === true) {
      this.#freeSinceMs = undefined;
      return;
    }
    this.#freeSinceMs ??= clock.monotonicMs();
    if (clock.monotonicMs() < this.#notBeforeMs || isPromoting()) return;
    const heads = await this.#heads();
    const rank = this.#rank(heads);
    if (rank === undefined || clock.monotonicMs() < this.#freeSinceMs + rank * rankDelayMs) return;
    if (this.#isStopped || isPromoting()) return;
    try {
      await promote(() => this.#acquireFree(heads));
    } catch (error) {
      if (error instanceof LeaseTakenError) return;
      this.#logRefusal(reasonOf(error));
      this.#notBeforeMs = clock.monotonicMs() + retryPauseMs;
    }
  }

  async #acquireFree(heads: readonly NodeHead[]): Promise<LeaseLeadership> {
    const leadership = await this.#acquire(heads, false);
    if (leadership === undefined) throw new LeaseTakenError();
    log.warning("this edge has acquired the lease of term {term} and requests votes", { term: leadership.term });
    return leadership;
  }

  /** The number of nodes that should try before this one. Undefined if this node cannot become the primary. */
  #rank(heads: readonly NodeHead[]): number | undefined {
    const own = this.#position();
    if (own === undefined) return undefined;
    const { id } = this.#edge;
    return heads.filter((head) => {
      const further = compareEpochs(epochOf(head), own) || head.l - own.offset;
      return head.role === "edge" && (further > 0 || (further === 0 && (head.node ?? "") < id));
    }).length;
  }

  /** The lease's term is later than all terms that this node and the others know. */
  async #acquire(heads: readonly NodeHead[], force: boolean): Promise<LeaseLeadership | undefined> {
    const { config, votes, clock } = this.#edge;
    const known = heads.flatMap((head) => [head.n, head.promised ?? 0]);
    const minTerm = Math.max(this.#position()?.term ?? 0, votes.promisedTerm, ...known);
    return LeaseLeadership.acquire(this.#options.lease, config.failoverTtl, clock, { minTerm, force });
  }

  async #heads(): Promise<readonly NodeHead[]> {
    return (await this.#edge.replica.peers.heads()).map(({ head }) => head);
  }

  /** Undefined while this edge cannot become the primary. */
  #position(): StoreState | undefined {
    const { replica, votes } = this.#edge;
    return replica.database.isOpen && !votes.isBinding ? replica.state() : undefined;
  }

  /** Logs each reason once, since it may last until an operator does something. */
  #logRefusal(reason: string): void {
    if (reason !== this.#refusal) log.warning("this edge was not promoted, it tries again: {reason}", { reason });
    this.#refusal = reason;
  }

  /** Logs the first failure, and the next one only after a success. */
  #logOutcome(problem: string | undefined): void {
    if (problem !== undefined && this.#problem === undefined)
      log.warning("the lease of the primary cannot be read: {reason}", { reason: problem });
    this.#problem = problem;
  }
}

/** Another edge has acquired the lease first. */
class LeaseTakenError extends AppError {
  constructor() {
    super("conflict", "another node has acquired the lease: check in a moment which node is the primary");
  }
}
