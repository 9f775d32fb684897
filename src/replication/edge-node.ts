/**
 * An edge: a full copy that follows the primary over the feed and answers from its own file. What it can't do itself, writing, it sends on.
 * It starts from its file where that is sound, and answers from it before it has heard of anybody.
 */
import type { Config } from "../config/config.ts";
import { lockDirectory, writeNote } from "../store/data-directory.ts";
import { databaseFiles, removeFiles } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { Arrivals } from "./arrivals.ts";
import { Copy } from "./copy.ts";
import { openEdgeFeed } from "./edge-feed.ts";
import { Follower } from "./follower.ts";
import { createForwarder } from "./forward.ts";
import { nodeIdOf } from "./identity.ts";
import { fetchSnapshot } from "./install-snapshot.ts";
import type { BrokerStatus, Node, NodeHealth } from "./node.ts";
import { connectPrimary, type PrimaryClient } from "./primary-client.ts";
import { soundStore } from "./sound-store.ts";
import { Writer } from "./writer.ts";

export async function startEdgeNode(config: Config): Promise<Node> {
  const { limits, environment, data } = config;
  const primaryUrl = must(config.primary, "an edge has a primary");
  const nodeKey = must(config.nodeKey, "an edge has a node key");
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(data);
  started.defer(directory.unlock);
  const id = nodeIdOf(config);
  const writer = new Writer({ environment, synchronous: "NORMAL", limits });
  started.defer(() => writer.stop());
  const copy = new Copy(data, limits, writer.changes);
  started.defer(() => copy.close());
  const primary = connectPrimary({
    url: primaryUrl,
    nodeKey,
    logTimeoutMs: limits.logTimeoutMs,
    snapshotTimeoutMs: limits.snapshotTimeoutMs,
  });

  const { arrivals, present, adopt, installSnapshot } = keepStanding(config, writer, copy, primary);
  const sound = await soundStore(data, environment, limits);
  if (sound !== undefined) await adopt(sound);
  writeNote(data, "role", "edge");

  const follower = new Follower({ environment, limits, writer, primary, present, installSnapshot });
  started.defer(() => follower.stop());
  started.defer(primary.close);
  const health = (): NodeHealth => healthOf(present(), follower, feed.brokers, writer);
  const feed = openEdgeFeed({ config, id, primaryUrl, nodeKey, follower, health });
  started.defer(() => feed.close());
  follower.start();
  feed.start();

  const running = started.move();
  return {
    role: "edge",
    id,
    environment,
    engine() {
      if (!follower.diverged) return copy.engine();
      throw new AppError("not_ready", "this node's copy differs from the primary's, it waits for a fresh one");
    },
    writes: undefined,
    forward: createForwarder({
      primaryUrl,
      timeoutMs: limits.forwardTimeoutMs,
      waitMs: config.consistencyWait,
      arrivals,
      primaryAlive: () => follower.feedState === "LIVE",
    }),
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    health,
    replication: () => undefined,
    mqttConnection: undefined,
    stop: () => running.disposeAsync(),
  };
}

interface Standing {
  readonly arrivals: Arrivals;
  /** Where this copy stands; undefined before there is one. */
  readonly present: () => State | undefined;
  /** Makes the database at `path` this node's copy. */
  readonly adopt: (path: string) => Promise<State>;
  readonly installSnapshot: () => Promise<State>;
}

/** Knows where the copy stands, while events move it and snapshots replace it. */
function keepStanding(config: Config, writer: Writer, copy: Copy, primary: PrimaryClient): Standing {
  let state: State | undefined;
  const arrivals = new Arrivals(() => state, { primary: false });
  const move = (to: State): void => {
    state = to;
    copy.moved(to);
    arrivals.moved(to);
  };
  writer.onMoved(move);
  const adopt = async (path: string): Promise<State> => {
    const opened = await writer.open(path);
    // Nobody may learn of the new position before reads come from the new file.
    copy.open(path);
    move(opened);
    return opened;
  };
  const installSnapshot = async (): Promise<State> => {
    const { data: directory, environment, limits } = config;
    if (writer.failed) throw new Error("there is no writer that could open a snapshot");
    const installed = await fetchSnapshot({ primary, directory, environment, limits });
    if (installed === "unchanged") throw new Error("the primary sent no snapshot although none was known");
    try {
      return await adopt(installed.path);
    } catch (error) {
      // The one before stays in use; each further attempt would leave another file.
      removeFiles(databaseFiles(installed.path));
      throw error;
    }
  };
  return { arrivals, present: () => state, adopt, installSnapshot };
}

function healthOf(
  state: State | undefined,
  follower: Follower,
  brokers: readonly BrokerStatus[],
  writer: Writer,
): NodeHealth {
  return {
    ok: state !== undefined && !follower.diverged && !writer.failed,
    role: "edge",
    state: follower.feedState,
    epoch: state?.epoch ?? null,
    offset: state?.offset ?? null,
    digest: state?.digest ?? null,
    // Without any contact yet, the last commit that it contains says how old it is at most.
    ageMs: follower.ageMs ?? (state === undefined ? null : Math.max(0, Date.now() - state.timeMs)),
    feedConnected: brokers.some(({ connected }) => connected),
    brokers,
  };
}
