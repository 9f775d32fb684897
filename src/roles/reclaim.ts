/**
 * How a primary whose data directory was not the newest becomes the primary again: as an edge it fetches the missing
 * events from its peers, and then asks for their votes, for a limited time.
 */
import type { ObservedPosition } from "../replication/failover/fence.ts";
import { PrimaryAliveError } from "../replication/failover/promotion.ts";
import type { Node } from "../replication/node.ts";
import type { NodeContext } from "../replication/node-context.ts";
import { formatToken } from "../log/event/position.ts";
import { tryToNoteReplaced, wasReplaced } from "../replication/role-notes.ts";
import { isSameFailover } from "../store/log/terms.ts";
import { getLogger } from "../telemetry/logger.ts";
import { sleep } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";

const log = getLogger("node");

const retryPauseMs = 1000;
const reclaimMsMax = 120_000;

interface ReclaimOptions {
  /** The edge; undefined while the node is changing its role. */
  readonly edge: () => Node | undefined;
  /** Whether the node is the primary again, or is stopped. */
  readonly isOver: () => boolean;
  /** The position that the peers have and this node has not. */
  readonly lacking: ObservedPosition | undefined;
  /** The term of the position, or of the primary that this node was. */
  readonly term: number;
}

export class Reclaim {
  readonly #context: Pick<NodeContext, "data" | "clock">;
  readonly #options: ReclaimOptions;
  readonly #endMs: number;

  constructor(context: Pick<NodeContext, "data" | "clock">, options: ReclaimOptions) {
    this.#context = context;
    this.#options = options;
    this.#endMs = context.clock.monotonicMs() + reclaimMsMax;
  }

  /** Why other nodes should be asked meanwhile. */
  get problem(): string {
    const leftMs = Math.max(0, this.#endMs - this.#context.clock.monotonicMs());
    return `this node asks its peers for their votes to be the primary: without them it stays an edge in ${Math.ceil(leftMs / 1000)} s`;
  }

  /** Resolves when this node or another one is the primary, or the time is over. */
  async run(): Promise<void> {
    const { data, clock } = this.#context;
    const { isOver } = this.#options;
    let hasLogged = false;
    for (await sleep(clock, retryPauseMs); !isOver(); await sleep(clock, retryPauseMs)) {
      try {
        await this.#attempt();
      } catch (error) {
        if (error instanceof PrimaryAliveError) tryToNoteReplaced(data);
        if (error instanceof PrimaryAliveError || error instanceof Superseded)
          return log.warning("this node stays an edge: {reason}", { reason: reasonOf(error) });
        if (!hasLogged)
          log.warning("this node cannot be the primary again yet, and tries again: {reason}", {
            reason: reasonOf(error),
          });
        hasLogged = true;
      }
    }
  }

  async #attempt(): Promise<void> {
    const { data, clock } = this.#context;
    const { edge, lacking, term } = this.#options;
    const node = edge();
    if (node === undefined) return;
    const { term: current } = node.health();
    if (wasReplaced(data) || (current !== null && !isSameFailover(current, term)))
      throw new Superseded("another node was promoted meanwhile");
    if (clock.monotonicMs() > this.#endMs)
      throw new Superseded(`its peers have not voted for it within ${reclaimMsMax / 1000} s, promote it`);
    if (lacking !== undefined) await node.waitFor(formatToken(lacking.epoch, lacking.offset));
    await node.promote?.({ force: false, automatic: true });
  }
}

/** Only a promotion makes this node the primary again. */
class Superseded extends Error {}
