/**
 * An edge: its copy and the feed first, then the API. It listens at once, and says that it is not ready while it has no copy. When it is promoted, a
 * primary takes its place in the same process and at the same address, and so it does at each later start, until another one is promoted over it.
 */
import type { Config } from "../config/config.ts";
import { startEdgeNode } from "../replication/edge-node.ts";
import type { Promoted } from "../replication/node.ts";
import { startPrimaryNode, type Takeover } from "../replication/primary-node.ts";
import { realSystem, type System } from "../replication/system.ts";
import { isPromoted, notePromotion } from "../replication/succession/promotion.ts";
import { getLogger } from "../telemetry/logger.ts";
import { must } from "../util/assert.ts";
import { serveNode, type RunningRole } from "./node-service.ts";
import { startPrimary } from "./primary.ts";

const log = getLogger("node");

/** Between two attempts to go on as an edge after a promotion that failed. */
const restartPauseMs = 1000;

export async function startEdge(config: Config, system: System = realSystem): Promise<RunningRole> {
  if (isPromoted(config.data)) {
    log.warning("this edge was promoted: it goes on as the primary; say so in its configuration (`role: primary`)");
    return startPrimary(asPrimary(config), system);
  }
  let isStopped = false;
  let starting: Promise<void> | undefined;
  const goOnAsEdge = async (): Promise<void> => running.replace(await startEdgeNode(config, { becomePrimary }, system));
  /** Meanwhile nobody answers here, so there is no end to it but a stop. */
  const keepTrying = async (): Promise<void> => {
    for (let isEdge = false; !isEdge && !isStopped;) {
      await new Promise<void>((resolve) => system.clock.after(restartPauseMs, resolve));
      if (isStopped) return;
      isEdge = await goOnAsEdge().then(
        () => true,
        () => false,
      );
    }
    log.warning("this node goes on as an edge");
  };
  const becomePrimary = async (takeover: Takeover): Promise<Promoted> => {
    const node = await startPrimaryNode(asPrimary(config), undefined, takeover, system).catch(
      async (error: unknown) => {
        log.error("this edge can't become the primary, and goes on as an edge: {error}", { error });
        await goOnAsEdge().catch((reason: unknown) => {
          log.error("this node can't go on as an edge either, and tries again: {error}", { error: reason });
          starting = keepTrying();
        });
        throw error;
      },
    );
    running.replace(node);
    noteIt(config.data);
    const { epoch, offset } = node.health();
    log.warning("this node is the primary now, of epoch {epoch} from offset {offset} on", { epoch, offset });
    return { epoch: must(epoch), offset: must(offset) };
  };
  const running = await serveNode(config, await startEdgeNode(config, { becomePrimary }, system), system);
  return {
    ...running,
    async stop() {
      isStopped = true;
      await starting;
      await running.stop();
    },
  };
}

/** It is the primary, whether that can be noted or not. */
function noteIt(data: string): void {
  try {
    notePromotion(data);
  } catch (error) {
    log.error(
      "the promotion cannot be noted in {data}: configure `role: primary` before this node is started again, or it starts as an edge: {error}",
      { data, error },
    );
  }
}

/** The same node with what it needs as a primary. Its former primary is one of those whom it asks whether there is another. */
function asPrimary(config: Config): Config {
  const { primary, peers, brokerUsername, brokerPassword, promotedBrokerUsername, promotedBrokerPassword } = config;
  return {
    ...config,
    role: "primary",
    peers: [...new Set([...(primary === undefined ? [] : [primary]), ...peers])],
    brokerUsername: promotedBrokerUsername ?? brokerUsername,
    brokerPassword: promotedBrokerPassword ?? brokerPassword,
  };
}
