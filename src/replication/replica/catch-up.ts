/**
 * Catching up: a copy that has missed something asks the logs of others until it has come to the end of the primary's, and takes a snapshot where
 * no log can help. Everything here ends with this copy at a position of the history that goes on, or with an error and the copy where it was.
 */
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { commitTimesAfter, pageRows, type Head, type LogPage, type LogRefusal } from "../transport/messages.ts";
import type { ReplayRequest } from "../log/replay.ts";
import type { FreshnessProbe } from "./freshness.ts";
import type { NodeClient } from "../transport/node-client.ts";
import type { PeerNode, Peers } from "../transport/peers.ts";

const log = getLogger("follow");

export interface CatchUpOptions {
  readonly environment: string;
  readonly clock: Clock;
  readonly peers: Peers;
  readonly isStopped: () => boolean;
  /** Applies what follows, as the primary or as a peer has it. */
  readonly replay: (request: ReplayRequest, from: "primary" | "peer") => Promise<StoreState>;
  /** Replaces this copy by a fresh snapshot of that node; `replacing` is called when it was fetched and found sound. Where it throws, the copy stays. */
  readonly installSnapshot: (from: NodeClient, replacing: () => unknown) => Promise<StoreState>;
  /** This copy is about to be replaced by one of another history: the last moment to save what only this one has. */
  readonly onDivergence: (theirs: LogRefusal["epochs"]) => unknown;
  /** To be called before the primary is asked. */
  readonly startProbe: () => FreshnessProbe;
  /** The primary answered: it stands there, and this copy then stood here. */
  readonly onPrimaryHead: (head: Head, state: StoreState, question: FreshnessProbe) => void;
  /** Another node stands where this copy does, with the same data. */
  readonly onVerified: () => void;
}

/** Follows the logs to their end. `present` is undefined where there is no copy, or none that can be trusted. */
export async function catchUp(options: CatchUpOptions, present: StoreState | undefined): Promise<void> {
  let state = present ?? (await takeSnapshot(options));
  let fresh = present === undefined;
  const tell = progressLogger(options.clock, state.offset);
  for (;;) {
    const question = options.startProbe();
    const { response: answer, peer: from } = await options.peers.log(state);
    if (options.isStopped()) return;
    if ("refused" in answer) {
      if (fresh)
        throw new AppError("not_ready", `the log does not continue a fresh snapshot: ${answer.refused.message}`);
      state = await replaceBySnapshot(options, state, answer.refused, from);
      fresh = true;
      continue;
    }
    const { page } = answer;
    state = await applyPage(options, state, page, from);
    tell(state.offset, page.head.l);
    if (from === options.peers.primary) options.onPrimaryHead(page.head, state, question);
    if (isSameState(page.head, state)) options.onVerified();
    if (page.ev.length === 0 || (from === options.peers.primary && state.offset >= page.head.l)) return;
    fresh = false;
  }
}

function isSameState({ e, l, h, d }: Head, { epoch, offset, hash, digest }: StoreState): boolean {
  return e === epoch && l === offset && h === hash && d === digest;
}

const progressIntervalMs = 5000;

/** A line in the log now and then, where there is so much to catch up with that somebody may wonder. */
function progressLogger(clock: Clock, from: number): (offset: number, head: number) => void {
  let toldAtMs = clock.monotonicMs();
  return (offset, head) => {
    if (clock.monotonicMs() - toldAtMs < progressIntervalMs) return;
    toldAtMs = clock.monotonicMs();
    const percent = Math.floor((100 * (offset - from)) / Math.max(1, head - from));
    log.info("catching up: {percent} %, at {offset} of {head}", { percent, offset, head });
  };
}

async function applyPage(
  { environment, peers: upstream, replay }: CatchUpOptions,
  state: StoreState,
  page: LogPage,
  from: PeerNode,
): Promise<StoreState> {
  if (page.head.s !== environment)
    throw new AppError("not_ready", `the other node serves environment \`${page.head.s}\``);
  const rows = pageRows(page);
  if (rows.length === 0) return state;
  const committedMs = commitTimesAfter(page, state.offset);
  return replay(
    { epoch: page.e, rows, hash: page.h, digest: page.d, committedMs },
    from === upstream.primary ? "primary" : "peer",
  );
}

/** The log of that node can't be followed from here. */
async function replaceBySnapshot(
  options: CatchUpOptions,
  state: StoreState,
  refused: LogRefusal,
  from: PeerNode,
): Promise<StoreState> {
  const { code, message, head, epochs } = refused;
  if (head.s !== options.environment)
    throw new AppError("not_ready", `the other node serves environment \`${head.s}\``);
  log.info("the log of {url} can't be followed from {offset}, taking a snapshot: {reason}", {
    url: from.url,
    offset: state.offset,
    reason: message,
  });
  // Not before the snapshot is there: until then this copy may be what the history goes on from.
  return options.installSnapshot(from.client, () => code !== "trimmed" && options.onDivergence(epochs));
}

async function takeSnapshot({ peers: upstream, installSnapshot }: CatchUpOptions): Promise<StoreState> {
  const failures: string[] = [];
  for (const { url, client } of await upstream.snapshotSources()) {
    try {
      return await installSnapshot(client, () => {});
    } catch (error) {
      const reason = reasonOf(error);
      failures.push(reason.includes(url) ? reason : `${url}: ${reason}`);
    }
  }
  throw new AppError("not_ready", `no snapshot to be had: ${failures.join("; ")}`);
}
