/**
 * An edge: a full copy that follows the primary over the feed and answers from its own file. What it can't do itself, writing, it sends on. It
 * hands its copy and its log on to others, and can become the primary.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { lockDirectory, type DataDirectory } from "../store/data-directory.ts";
import { compareEpochs, type EpochName } from "../store/epochs.ts";
import { hashKey, verifyKey } from "../store/keys.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { backupsOf } from "./backup/backup-server.ts";
import { openEdgeFeed, type EdgeFeed } from "./feed/edge-feed.ts";
import { epochOf } from "./feed/envelope.ts";
import { openFollowingCopy, type FollowingCopy } from "./following/following-copy.ts";
import { createLogServer } from "./following/log-server.ts";
import { createForwarder } from "./forward.ts";
import { nodeIdOf } from "./identity.ts";
import type { Node, NodeHealth, Promoted } from "./node.ts";
import { formatToken } from "./position.ts";
import type { Takeover } from "./primary-node.ts";
import { ledEpoch } from "./primary-store.ts";
import { keepSnapshots } from "./snapshots/snapshot-keeper.ts";
import { Pledge } from "./succession/pledge.ts";
import { requirePromotable } from "./succession/promotion.ts";
import { realSystem, type System } from "./system.ts";

const log = getLogger("edge");

/** How often an edge looks whether the one that it gave its pledge to still is about to be promoted. */
const pledgeCheckMs = 1000;

export interface EdgeOptions {
  /** Starts a primary where this edge has just ended, and lets it answer in its place. Without it the edge can't be promoted. */
  readonly becomePrimary?: (takeover: Takeover) => Promise<Promoted>;
}

export async function startEdgeNode(
  config: Config,
  { becomePrimary }: EdgeOptions = {},
  system: System = realSystem,
): Promise<Node> {
  const { limits, environment } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(config.data);
  const lock = keepLock(directory);
  started.defer(lock.release);
  const id = nodeIdOf(config);
  const pledge = new Pledge(config.data);
  const counts = (): boolean => pledge.to === undefined;
  const following = await openFollowingCopy(config, () => (counts() ? id : undefined), started, system);
  const { follower, upstream, arrivals } = following;
  keepPledge(pledge, following, started, system);
  const health = (): NodeHealth => healthOf(following, feed, pledge, limits.readyAgeMsMax);
  const feed = openEdgeFeed({ config, id, upstream, follower, health, counts, system });
  started.defer(() => feed.close());
  following.onMoved(feed.moved);
  const candidate = candidateFor({ config, id, following, pledge, system });
  const serveLog = serveOthers(config, id, { following, pledge, candidate }, system);
  follower.start();
  feed.start();

  const running = started.move();
  const promote = async (force: boolean): Promise<Promoted> => {
    const after = await candidate.stand(force);
    const { path } = following.copy;
    lock.keep();
    await running.disposeAsync();
    return must(becomePrimary)({ directory, path, after, aheadIsLost: force || config.ack > 0 });
  };
  let promoting: Promise<Promoted> | undefined;
  return {
    role: "edge",
    id,
    environment,
    engine: following.engine,
    history: following.history,
    writes: undefined,
    forward: createForwarder({
      system,
      primaryUrl: () => upstream.primary.url,
      timeoutMs: limits.forwardTimeoutMs,
      waitMs: config.consistencyWait,
      arrivals,
      primaryAlive: () => follower.feedState === "LIVE",
      onSilence: () => void upstream.findPrimary(),
    }),
    promote:
      becomePrimary &&
      (({ force }) => {
        promoting ??= promote(force).finally(() => (promoting = undefined));
        return promoting;
      }),
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    waitForLatest: () => waitForLatest(following, config.consistencyWait),
    requireFresh: () => requireFresh(following.ageMs(), config.maxStaleness),
    reportDamage: following.reportDamage,
    present: following.present,
    health,
    replication: serveLog,
    backup: backupsOf(following, config, system),
    mqttConnection: undefined,
    stop: () => running.disposeAsync(),
  };
}

/** Looks whether what was pledged still stands, by this node's own epoch and by what the others say of themselves. */
function keepPledge(
  pledge: Pledge,
  { upstream, present, onMoved }: FollowingCopy,
  started: AsyncDisposableStack,
  { clock }: System,
): void {
  const moved = (): void => {
    const state = present();
    if (state !== undefined) pledge.moved(state);
  };
  moved();
  onMoved(moved);
  const look = async (): Promise<void> => {
    const { given } = pledge;
    if (given.length === 0) return;
    const heads = await upstream.heads();
    pledge.heard(
      heads.map(({ head }) => head),
      given,
    );
  };
  const complain = (error: unknown): void => log.error("what was pledged can't be looked at: {error}", { error });
  started.defer(clock.every(pledgeCheckMs, () => void look().catch(complain)));
}

interface Candidate {
  /** Which attempt to become the primary is under way; it stays so once the node is to become it. */
  readonly token: string | undefined;
  /** Gives the epoch after which it becomes it. AppError `conflict` where it may not. */
  stand(force: boolean): Promise<EpochName>;
}

interface CandidateOptions {
  readonly config: Config;
  readonly id: string;
  readonly following: FollowingCopy;
  readonly pledge: Pledge;
  readonly system: System;
}

function candidateFor({ config, id, following, pledge, system }: CandidateOptions): Candidate {
  let token: string | undefined;
  return {
    get token() {
      return token;
    },
    async stand(force) {
      token = randomBytes(8).toString("hex");
      try {
        const [candidacy, led] = [{ node: id, token }, ledEpoch(config.data)];
        return await requirePromotable({ following, pledge, led, candidacy, ack: config.ack, force, system });
      } catch (error) {
        token = undefined;
        throw error;
      }
    },
  };
}

interface Standing {
  readonly following: FollowingCopy;
  readonly pledge: Pledge;
  readonly candidate: Candidate;
}

/** The same that a primary serves to nodes, from this copy. */
function serveOthers(
  { data, limits, nodeKey }: Config,
  id: string,
  { following, pledge, candidate }: Standing,
  system: System,
): Node["replication"] {
  const { copy, present, upstream } = following;
  const snapshots = keepSnapshots({
    storePath: () => copy.path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    present: () => must(present()),
    system,
  });
  const nodeKeyHash = hashKey(must(nodeKey, "an edge has a node key"));
  const led = ledEpoch(data);
  return createLogServer({
    store() {
      // Nobody shall follow what this node itself does not trust.
      following.engine();
      return copy.reader();
    },
    role: () => "edge",
    node: id,
    led,
    candidacy: () => candidate.token,
    async pledge(request) {
      // It may be among its own peers. And who is in a later epoch has nothing to promise.
      const isIdle = (): boolean =>
        request.token === candidate.token || compareEpochs(present() ?? request, request) > 0;
      if (isIdle()) return;
      // What nobody stands for would never end, and what comes late is over.
      if (!(await upstream.stands(request)))
        throw new AppError("conflict", `none of its peers says that it is ${request.node}, about to be promoted`);
      if (isIdle()) return;
      if (candidate.token !== undefined && !request.force)
        throw new AppError("conflict", "it is about to be promoted itself");
      pledge.give(request);
    },
    ack: false,
    limits,
    clock: system.clock,
    verifyNodeKey: (key) => verifyKey(key, nodeKeyHash),
    snapshots,
    onPosition: () => {},
    reportDamage: following.reportDamage,
  });
}

interface Lock {
  readonly release: () => void;
  /** From now on the lock is somebody else's to release. */
  readonly keep: () => void;
}

function keepLock(directory: DataDirectory): Lock {
  let kept = false;
  return {
    release() {
      if (!kept) directory.unlock();
    },
    keep: () => void (kept = true),
  };
}

/** Asks the primary where it stands, and waits to be there. */
async function waitForLatest({ upstream, arrivals, present }: FollowingCopy, waitMs: number): Promise<void> {
  const head = await upstream.primaryHead().catch((cause: unknown) => {
    throw new AppError("not_ready", "the primary can't be asked for the latest, read without `Ostiary-Consistency`", {
      cause,
    });
  });
  const own = present();
  if (own !== undefined && compareEpochs(epochOf(head), own) < 0)
    throw new AppError("not_ready", "the primary was replaced, and its successor is not known here yet");
  await arrivals.waitFor(formatToken(head.e, head.l), waitMs);
}

/** AppError `not_ready` where a copy of that age is too old. */
export function requireFresh(ageMs: number | null, maxMs: number | undefined): void {
  if (maxMs === undefined || ageMs === null || ageMs <= maxMs) return;
  throw new AppError(
    "not_ready",
    `this copy was last known to be the newest ${Math.round(ageMs / 1000)} s ago, longer than \`maxStaleness\` lets it answer`,
  );
}

function healthOf(following: FollowingCopy, feed: EdgeFeed, pledge: Pledge, ageMsMax: number): NodeHealth {
  const { follower, writer } = following;
  const state = following.present();
  const ageMs = following.ageMs();
  const { brokers } = feed;
  return {
    ok: state !== undefined && !follower.diverged && !writer.failed,
    degraded:
      ageMs !== null && ageMs > ageMsMax ? `its copy was last known to be the newest ${ageMs} ms ago` : undefined,
    role: "edge",
    state: follower.feedState,
    epoch: state?.epoch ?? null,
    offset: state?.offset ?? null,
    digest: state?.digest ?? null,
    ageMs,
    visibleAfterMs: follower.visibleAfterMs,
    feedConnected: brokers.some(({ connected }) => connected),
    brokers,
    ...(pledge.to === undefined ? {} : { pledgedTo: pledge.to }),
  };
}
