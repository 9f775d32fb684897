/**
 * Catch-up: a replica that has missed events reads the logs of other nodes up to the end of the primary's log. It
 * installs a snapshot if no log continues its position. If an error is thrown, it is where it was.
 */
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { commitTimesAfter, pageRows, type Head, type LogPage, type LogRefusal } from "../transport/messages.ts";
import type { ReplayRequest } from "../../log/append/replay.ts";
import type { NodeClient } from "../transport/node-client.ts";
import type { PeerNode, Peers } from "../transport/peers.ts";
import type { PrimaryMonitor, ReplicaContext } from "./primary-monitor.ts";

const log = getLogger("replica");

export interface CatchUpOptions {
  readonly context: ReplicaContext;
  readonly peers: Peers;
  readonly isStopped: () => boolean;
  /** Applies events from the log of the primary or of a peer. */
  readonly replay: (request: ReplayRequest, from: "primary" | "peer") => Promise<StoreState>;
  /** Replaces the database by a snapshot. Calls `replacing` when that is verified. If it throws, the database stays. */
  readonly installSnapshot: (from: NodeClient, replacing: () => unknown) => Promise<StoreState>;
  /** A diverged history is about to replace the database: the last chance to save the events that only it has. */
  readonly onDivergence: (theirs: LogRefusal["epochs"]) => unknown;
  readonly monitor: PrimaryMonitor;
  /** Another node has the same data at the same position. */
  readonly onVerified: () => void;
}

/** Reads the logs to their end. `initial` is undefined if there is no database, or none that can be trusted. */
export async function catchUp(options: CatchUpOptions, initial: StoreState | undefined): Promise<void> {
  let state = initial ?? (await takeSnapshot(options));
  let isFresh = initial === undefined;
  const logProgress = progressLogger(options.context.clock, state.offset);
  for (;;) {
    const probe = options.monitor.freshness.startProbe();
    const { response, peer } = await options.peers.log(state);
    if (options.isStopped()) return;
    if ("refused" in response) {
      if (isFresh)
        throw new AppError("not_ready", `the log does not continue a fresh snapshot: ${response.refused.message}`);
      state = await replaceBySnapshot(options, state, response.refused, peer);
      isFresh = true;
      continue;
    }
    const { page } = response;
    state = await applyPage(options, state, page, peer);
    logProgress(state.offset, page.head.l);
    const isPrimary = peer === options.peers.primary;
    if (isPrimary) options.monitor.onPrimaryHead(page.head, state, probe);
    if (isSameState(page.head, state)) options.onVerified();
    if (page.ev.length === 0 || (isPrimary && state.offset >= page.head.l)) return;
    isFresh = false;
  }
}

function isSameState({ e, l, h, d }: Head, { epoch, offset, hash, digest }: StoreState): boolean {
  return e === epoch && l === offset && h === hash && d === digest;
}

/** Logs the progress of a long catch-up every 5 s. */
function progressLogger(clock: Clock, from: number): (offset: number, head: number) => void {
  let loggedAtMs = clock.monotonicMs();
  return (offset, head) => {
    if (clock.monotonicMs() - loggedAtMs < 5000) return;
    loggedAtMs = clock.monotonicMs();
    const percent = Math.floor((100 * (offset - from)) / Math.max(1, head - from));
    log.info("catching up: {percent} %, at {offset} of {head}", { percent, offset, head });
  };
}

async function applyPage(
  { context: { environment }, peers, replay }: CatchUpOptions,
  state: StoreState,
  page: LogPage,
  from: PeerNode,
): Promise<StoreState> {
  if (page.head.s !== environment)
    throw new AppError("not_ready", `the other node serves environment \`${page.head.s}\``);
  const rows = pageRows(page);
  if (rows.length === 0) return state;
  const committedMs = commitTimesAfter(page, state.offset);
  const request = { epoch: page.e, rows, hash: page.h, digest: page.d, committedMs, audit: page.au };
  return replay(request, from === peers.primary ? "primary" : "peer");
}

/** The log of that node does not continue this replica's position. */
async function replaceBySnapshot(
  options: CatchUpOptions,
  state: StoreState,
  refused: LogRefusal,
  from: PeerNode,
): Promise<StoreState> {
  const { code, message, head, epochs } = refused;
  if (head.s !== options.context.environment)
    throw new AppError("not_ready", `the other node serves environment \`${head.s}\``);
  log.info("the log of {url} does not continue {offset}, fetching a snapshot: {reason}", {
    url: from.url,
    offset: state.offset,
    reason: message,
  });
  // Not before the snapshot is there: until then the history may continue from this replica.
  return options.installSnapshot(from.client, () => code !== "trimmed" && options.onDivergence(epochs));
}

async function takeSnapshot({ peers, installSnapshot }: CatchUpOptions): Promise<StoreState> {
  const failures: string[] = [];
  for (const { url, client } of await peers.snapshotSources()) {
    try {
      return await installSnapshot(client, () => {});
    } catch (error) {
      const reason = reasonOf(error);
      failures.push(reason.includes(url) ? reason : `${url}: ${reason}`);
    }
  }
  throw new AppError("not_ready", `no node sent a snapshot: ${failures.join("; ")}`);
}
