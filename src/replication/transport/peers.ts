/**
 * The other nodes that this node knows: its primary and its peers. If the primary does not answer, or the other nodes
 * have another primary, all are asked for their heads, and the primary of the latest epoch becomes this node's primary.
 * Until one is found, the log of a peer is used. Only configured nodes are asked; no message can add another one.
 * A node of another history counts as down, unless that history is approved.
 */
import { compareEpochs, type EpochId } from "../../store/log/epochs.ts";
import { isSameFailover } from "../../store/log/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { HistoryFilter } from "../history-guard.ts";
import { epochOf, type NodeHead, type Candidate, type VoteOptions } from "./messages.ts";
import type { LogResponse, NodeClient, VoteResponse } from "./node-client.ts";
import type { NodePosition } from "./node-server.ts";

const log = getLogger("peers");

export interface PeerNode {
  /** The address without a path. */
  readonly url: string;
  readonly client: NodeClient;
}

type OfPeer<Answer> = Answer & { readonly peer: PeerNode };
type PeerHead = OfPeer<{ readonly head: NodeHead }>;
type PeerLogResponse = OfPeer<{ readonly response: LogResponse }>;

const searchIntervalMs = 1000;
/** Used when a node is known to be in a later epoch, which has another primary. */
const urgentSearchIntervalMs = 100;
const headTimeoutMs = 1000;
/** How long only the primary is asked for its log. */
const primaryOnlyMs = 500;
/** A node that is asked for its vote asks other nodes first. */
const voteTimeoutMs = 3 * headTimeoutMs;

export class Peers {
  readonly #peers: readonly PeerNode[];
  readonly #clock: Clock;
  readonly #onPrimaryChange: (() => void)[] = [];
  readonly #own: () => NodePosition | undefined;
  /** The id of a replica. One list of peers may serve all nodes, so this node may be in its own list. */
  readonly #ownId: string | undefined;
  /** Decides which nodes have this node's history. */
  readonly histories: HistoryFilter;
  #primary: PeerNode;
  #searchedAtMs = Number.NEGATIVE_INFINITY;
  /** Searches are numbered. The result of a search is outdated if a later search has already changed the primary. */
  #searches = 0;
  #changedBySearch = 0;
  /** These reject the requests to the primary when another node becomes the primary. */
  readonly #rejectRequests = new Set<(reason: Error) => void>();

  /** The first node is the primary until a search finds another one. `own` returns this node's position. */
  constructor(
    peers: readonly [PeerNode, ...PeerNode[]],
    clock: Clock,
    own: () => NodePosition | undefined,
    histories: HistoryFilter,
    ownId?: string,
  ) {
    this.#ownId = ownId;
    this.#peers = peers;
    this.#primary = peers[0];
    this.#clock = clock;
    this.#own = () => this.#withHistory(own());
    this.histories = histories;
  }

  get primary(): PeerNode {
    return this.#primary;
  }

  onPrimaryChange(listener: () => void): void {
    this.#onPrimaryChange.push(listener);
  }

  /**
   * Reads the primary's log after a position or, while it does not answer, the log of a peer that has more events.
   * Throws the primary's error if none has. A frozen primary does not delay the others; a slow one is waited for.
   */
  async log(from: NodePosition): Promise<PeerLogResponse> {
    const position = this.#withHistory(from);
    const before = this.#primary;
    const first = this.#fromPrimary(position);
    const early = await this.#inTime(first, primaryOnlyMs);
    if (early !== undefined && "response" in early && isFinal(early.response)) return early;
    if ((await this.findPrimary(position)) || this.#primary !== before) {
      const second = await this.#fromPrimary(position);
      if ("response" in second && isFinal(second.response)) return second;
    }
    for (const peer of this.#others()) {
      const response = await peer.client.log(position).catch(() => undefined);
      if (response === undefined || this.#isOwn(headOfResponse(response))) continue;
      if ("refused" in response && !this.#isAdmitted(response.refused, peer)) continue;
      if (hasProgress(response, position)) return { response, peer };
    }
    const late = await first;
    if ("response" in late) return late;
    throw late.error;
  }

  /**
   * The nodes from which to fetch a snapshot, best first: by epoch, then the primary, then by offset. So a primary that
   * was replaced comes after the nodes that know it. With `least`, without nodes known to be of an earlier epoch.
   */
  async snapshotSources(least?: EpochId): Promise<readonly PeerNode[]> {
    if (this.#peers.length === 1) return this.#peers;
    const heads = await this.#heads();
    const primaryFirst = ({ peer }: PeerHead): number => (peer === this.#primary ? 1 : 0);
    const sources = heads
      // The terms of two histories cannot be compared.
      .filter(({ head }) => isAtLeast(head, least) || this.#isOther(head.epochs))
      .toSorted(
        (a, b) =>
          compareEpochs(epochOf(b.head), epochOf(a.head)) || primaryFirst(b) - primaryFirst(a) || b.head.l - a.head.l,
      )
      .map(({ peer }) => peer);
    // A primary that does not answer now may only be slow.
    const isSilent = heads.every(({ peer }) => peer !== this.#primary);
    return isSilent ? [...sources, this.#primary] : sources;
  }

  /** The head of the current primary. With `waitMs`, when its position differs from this node's, or after that time. */
  async primaryHead(waitMs = 0): Promise<NodeHead> {
    const primary = this.#primary;
    const head = await primary.client.head(this.#own(), waitMs);
    if (!this.#isAdmitted(head, primary)) throw new AppError("not_ready", `${primary.url} has another history`);
    return head;
  }

  /** Searches for the primary of the latest epoch, at least `least`. Returns whether it is another node than before. */
  async findPrimary(least: EpochId | undefined = this.#own()): Promise<boolean> {
    const [nowMs, own] = [this.#clock.monotonicMs(), this.#own()];
    const isUrgent = least !== undefined && own !== undefined && compareEpochs(least, own) > 0;
    const intervalMs = isUrgent ? urgentSearchIntervalMs : searchIntervalMs;
    if (this.#peers.length === 1 || nowMs - this.#searchedAtMs < intervalMs) return false;
    this.#searchedAtMs = nowMs;
    const search = ++this.#searches;
    const found = await this.#latestPrimary(least);
    if (found === undefined || found.peer === this.#primary || search < this.#changedBySearch) return false;
    this.#changedBySearch = search;
    log.warning("the primary is {url} from now on, no longer {before}", {
      url: found.peer.url,
      before: this.#primary.url,
    });
    this.#primary = found.peer;
    for (const reject of this.#rejectRequests) reject(new AppError("not_ready", "another node is the primary now"));
    for (const listener of this.#onPrimaryChange) listener();
    return true;
  }

  /** The first primary of a later epoch than this node's that answers; if there is none, that of the latest epoch. */
  #latestPrimary(least: EpochId | undefined): Promise<PeerHead | undefined> {
    const own = this.#own();
    return new Promise((resolve) => {
      const isPrimary = ({ head }: PeerHead): boolean => head.role === "primary" && isAtLeast(head, least);
      const onHead = (found: PeerHead): void => {
        if (isPrimary(found) && own !== undefined && compareEpochs(epochOf(found.head), own) > 0) resolve(found);
      };
      const latestFirst = (one: PeerHead, other: PeerHead): number =>
        compareEpochs(epochOf(other.head), epochOf(one.head));
      void this.#heads(onHead).then((heads) => resolve(heads.filter(isPrimary).toSorted(latestFirst)[0]));
    });
  }

  async heads(): Promise<readonly { readonly url: string; readonly head: NodeHead }[]> {
    return (await this.#heads()).map(({ peer, head }) => ({ url: peer.url, head }));
  }

  /** The head of each other node; undefined of one that does not answer, or has another history. */
  async headOfEach(): Promise<readonly { readonly url: string; readonly head: NodeHead | undefined }[]> {
    const answers = await this.#ask(
      (client) => client.head(this.#own()),
      () => headTimeoutMs,
    );
    return answers.flatMap(({ peer, answer }) => {
      if (answer === undefined) return [{ url: peer.url, head: undefined }];
      if (this.#isOwn(answer)) return [];
      return [{ url: peer.url, head: this.#isAdmitted(answer, peer) ? answer : undefined }];
    });
  }

  /** The primaries that answer: the peers themselves, and the primaries of the peers. */
  async livePrimaries(): Promise<readonly NodeHead[]> {
    const answers = await this.#ask(
      (client) => client.primaryHead(),
      () => 2 * headTimeoutMs,
    );
    return answers.flatMap(({ peer, answer: head }) => {
      // A node that was replaced, or may not write yet, does not count.
      const isPrimary = head?.role === "primary" && head.a !== null;
      return isPrimary && this.#isAdmitted(head, peer) ? [head] : [];
    });
  }

  /** Whether one of the nodes confirms that it is this candidate, in this attempt. */
  confirmsCandidate({ node, token }: Candidate): Promise<boolean> {
    return new Promise((resolve) => {
      const answers = this.#peers.map(async ({ client }) => {
        const head = await this.#inTime(client.head(this.#own()));
        if (head?.node === node && head.candidacy === token) resolve(true);
      });
      void Promise.all(answers).then(() => resolve(false));
    });
  }

  /** Asks the primaries that answer to stop their writes for a candidate, and to release the lease. */
  async requestHandover(own: NodePosition, candidate: Candidate): Promise<void> {
    const position = this.#withHistory(own);
    const primaries = (await this.#heads()).filter(({ head }) => head.role === "primary" && head.e === own.epoch);
    const how = { force: false, graceful: true, leased: false, wanted: undefined };
    await Promise.all(
      primaries.map(({ peer: { client } }) =>
        this.#inTime(client.requestVote(position, candidate, how), voteTimeoutMs),
      ),
    );
  }

  /**
   * The answers of all nodes to a request for their votes; undefined from a node that does not answer. The nodes in
   * `answering` have just answered another request, so they get more time.
   */
  async requestVotes(
    own: NodePosition,
    candidate: Candidate,
    how: VoteOptions,
    answering: ReadonlySet<string>,
  ): Promise<readonly { readonly url: string; readonly answer: VoteResponse | undefined }[]> {
    const position = this.#withHistory(own);
    const timeoutMs = ({ url }: PeerNode): number => (answering.has(url) ? voteTimeoutMs : headTimeoutMs);
    const answers = await this.#ask((client) => client.requestVote(position, candidate, how), timeoutMs);
    return answers.map(({ peer, answer }) => {
      const head = answer !== undefined && "head" in answer ? answer.head : undefined;
      if (head === undefined) return { url: peer.url, answer };
      if (this.#isOwn(head)) return { url: peer.url, answer: { uncounted: true } };
      return { url: peer.url, answer: this.#isAdmitted(head, peer) ? answer : undefined };
    });
  }

  close(): void {
    for (const { client } of this.#peers) client.close();
  }

  #others(): readonly PeerNode[] {
    return this.#peers.filter((peer) => peer !== this.#primary);
  }

  #withHistory<T extends NodePosition | undefined>(position: T): T {
    return position === undefined ? position : { ...position, first: this.histories.own };
  }

  #isAdmitted({ epochs }: Pick<NodeHead, "epochs">, { url }: PeerNode): boolean {
    if (!this.histories.admits(firstEpochOf(epochs), url)) return false;
    const [own, last] = [this.#own(), epochs.at(-1)];
    const isLater = own !== undefined && last !== undefined && last.term > own.term;
    if (isLater && !isSameFailover(last.term, own.term)) this.histories.onLaterFailover?.();
    return true;
  }

  #isOther(epochs: NodeHead["epochs"]): boolean {
    return this.histories.own !== undefined && firstEpochOf(epochs) !== this.histories.own;
  }

  async #fromPrimary(position: NodePosition): Promise<PeerLogResponse | { readonly error: Error }> {
    const peer = this.#primary;
    const failed = (reason: string) => ({ error: new AppError("not_ready", `${peer.url} ${reason}`) });
    try {
      const response = await this.#unlessReplaced(peer.client.log(position));
      if (this.#isOwn(headOfResponse(response))) return failed("is this node itself");
      if ("refused" in response && !this.#isAdmitted(response.refused, peer))
        return failed("has another history than this node");
      if ("refused" in response && this.#isOther(response.refused.epochs)) return { response, peer };
      // A node that is not the primary may only be behind. Then the events that only this node has are part of the
      // history all the same.
      if ("refused" in response && response.refused.head.role !== "primary" && !hasProgress(response, position))
        return failed("is not the primary, and has no more events than this node");
      if (isAtLeast(headOfResponse(response), position)) return { response, peer };
      return failed("does not know the current epoch: another primary took its place");
    } catch (error) {
      return { error: error instanceof Error ? error : new Error(reasonOf(error)) };
    }
  }

  async #unlessReplaced<T>(answer: Promise<T>): Promise<T> {
    const { promise: replaced, reject } = Promise.withResolvers<never>();
    this.#rejectRequests.add(reject);
    try {
      return await Promise.race([answer, replaced]);
    } finally {
      this.#rejectRequests.delete(reject);
    }
  }

  #isOwn({ node }: Pick<NodeHead, "node">): boolean {
    return node !== undefined && node === this.#ownId;
  }

  /** Calls `onHead` with each head as it arrives. */
  async #heads(onHead: (found: PeerHead) => void = () => {}): Promise<readonly PeerHead[]> {
    const heads = this.#peers.map(async (peer): Promise<readonly PeerHead[]> => {
      const head = await this.#inTime(peer.client.head(this.#own()));
      if (head === undefined || this.#isOwn(head) || !this.#isAdmitted(head, peer)) return [];
      onHead({ peer, head });
      return [{ peer, head }];
    });
    return (await Promise.all(heads)).flat();
  }

  /** Asks all nodes together. The answer of a node that fails or takes too long is undefined. */
  #ask<T>(
    request: (client: NodeClient) => Promise<T>,
    timeoutMs: (peer: PeerNode) => number,
  ): Promise<readonly OfPeer<{ readonly answer: T | undefined }>[]> {
    return Promise.all(
      this.#peers.map(async (peer) => ({ peer, answer: await this.#inTime(request(peer.client), timeoutMs(peer)) })),
    );
  }

  #inTime<T>(answer: Promise<T>, timeoutMs = headTimeoutMs): Promise<T | undefined> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(timeoutMs, () => resolve(undefined));
      answer.then(
        (value) => (cancel(), resolve(value)),
        () => (cancel(), resolve(undefined)),
      );
    });
  }
}

function headOfResponse(response: LogResponse): Pick<NodeHead, "e" | "n" | "node"> {
  return "page" in response ? response.page.head : response.refused.head;
}

function firstEpochOf(epochs: NodeHead["epochs"]): string | undefined {
  return epochs[0]?.epoch;
}

/** Whether no other node needs to be asked. A node that is not the primary may lack events that others have. */
function isFinal(response: LogResponse): boolean {
  return !("page" in response) || response.page.ev.length > 0 || response.page.head.role === "primary";
}

/** Whether a response advances this replica: a page with events, or a refusal that shows a later epoch or events. */
function hasProgress(response: LogResponse, position: NodePosition): boolean {
  if ("page" in response) return response.page.ev.length > 0 && isAtLeast(response.page.head, position);
  const { code, head } = response.refused;
  const order = compareEpochs(epochOf(head), position);
  return order > 0 || (order === 0 && code === "trimmed" && head.l > position.offset);
}

function isAtLeast(head: Pick<NodeHead, "e" | "n">, least: EpochId | undefined): boolean {
  return least === undefined || compareEpochs(epochOf(head), least) >= 0;
}
