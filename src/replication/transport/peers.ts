/**
 * The nodes that this one can follow: its primary, and the peers that it was told of. The primary is asked first. When it does not answer, or is no
 * longer what the others follow, all are asked where they stand, and whoever is a primary of the latest epoch is the primary from now on; until
 * there is one, a peer's log will do. Only nodes that the operator named are ever asked: nothing that arrives can send this node elsewhere. A node of
 * another history counts as one that gives no answer, unless its history is approved.
 */
import { compareEpochs, type EpochId } from "../../store/log/epochs.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { epochOf, type NodeHead } from "./messages.ts";
import type { HistoryFilter } from "../history-guard.ts";
import type { Candidacy, VoteOptions } from "./vote-request.ts";
import type { NodePosition } from "./node-server.ts";
import type { LogResponse, NodeClient, VoteResponse } from "./node-client.ts";

const log = getLogger("upstream");

export interface PeerNode {
  /** Where it is, without a path; for people and for those who need its other services. */
  readonly url: string;
  readonly client: NodeClient;
}

export interface PeerLogResponse {
  readonly response: LogResponse;
  readonly peer: PeerNode;
}

interface PeerHead {
  readonly peer: PeerNode;
  readonly head: NodeHead;
}

const searchIntervalMs = 1000;
/** Where a node is known to be in a later epoch: its primary is looked for at once. */
const urgentSearchIntervalMs = 100;
const headTimeoutMs = 1000;
/** How long the primary alone is asked for its log. */
const primaryPatienceMs = 500;
/** Who is asked for its pledge asks others itself first. */
const pledgeTimeoutMs = 3 * headTimeoutMs;

export class Peers {
  readonly #neighbours: readonly PeerNode[];
  readonly #clock: Clock;
  readonly #onSwitch: (() => void)[] = [];
  readonly #own: () => NodePosition | undefined;
  /** A follower's id: one list of peers may serve all nodes, so this one may be among its own. */
  readonly #ownId: string | undefined;
  /** Which nodes are of this one's history. */
  readonly histories: HistoryFilter;
  #primary: PeerNode;
  #searchedAtMs = Number.NEGATIVE_INFINITY;
  /** Searches are numbered. What an earlier one than the last that led to a switch has found is out of date. */
  #searches = 0;
  #switchedBy = 0;
  /** What ends requests to the primary when another node is: their answers are not waited for. */
  readonly #abandon = new Set<(reason: Error) => void>();

  /** The first is the primary until another one shows. `own` is where this node stands. */
  constructor(
    neighbours: readonly [PeerNode, ...PeerNode[]],
    clock: Clock,
    own: () => NodePosition | undefined,
    histories: HistoryFilter,
    ownId?: string,
  ) {
    this.#ownId = ownId;
    this.#neighbours = neighbours;
    this.#primary = neighbours[0];
    this.#clock = clock;
    this.#own = () => this.#named(own());
    this.histories = histories;
  }

  /** Who is taken for the primary. */
  get primary(): PeerNode {
    return this.#primary;
  }

  onPrimaryChange(listener: () => void): void {
    this.#onSwitch.push(listener);
  }

  /**
   * What follows in the log: the primary's or, while it gives none, that of whoever has more. Throws where nobody has, with the reason why the
   * primary gave nothing. A primary that is frozen keeps nobody from asking the others; one that is only slow is waited for.
   */
  async log(position: NodePosition): Promise<PeerLogResponse> {
    const asked = this.#named(position);
    const before = this.#primary;
    const first = this.#fromPrimary(asked);
    const soon = await this.#inTime(first, primaryPatienceMs);
    if (soon !== undefined && "response" in soon && isFinal(soon.response)) return soon;
    if ((await this.findPrimary(asked)) || this.#primary !== before) {
      const second = await this.#fromPrimary(asked);
      if ("response" in second && isFinal(second.response)) return second;
    }
    for (const from of this.#others()) {
      const answer = await from.client.log(asked).catch(() => undefined);
      if (answer === undefined || this.#isOwn(headOfResponse(answer)) || !this.#admits(answer, from)) continue;
      if (hasProgress(answer, asked)) return { response: answer, peer: from };
    }
    const late = await first;
    if ("response" in late) return late;
    throw late.error;
  }

  /**
   * The nodes to take a snapshot from, best first: those of the latest epoch, of these the primary, then from the one that stands furthest on. A
   * primary that was replaced and does not know goes behind those who do. With `least`, none that is known to be of an earlier epoch.
   */
  async snapshotSources(least?: EpochId): Promise<readonly PeerNode[]> {
    if (this.#neighbours.length === 1) return this.#neighbours;
    const heads = await this.#heads();
    const first = ({ peer: neighbour }: PeerHead): number => (neighbour === this.#primary ? 1 : 0);
    const standing = heads
      // Terms of two histories say nothing about each other.
      .filter(({ head }) => isAtLeast(head, least) || this.#isOther(head.epochs))
      .toSorted((a, b) => compareEpochs(epochOf(b.head), epochOf(a.head)) || first(b) - first(a) || b.head.l - a.head.l)
      .map(({ peer: neighbour }) => neighbour);
    // It may only be slow.
    const silent = heads.every(({ peer: neighbour }) => neighbour !== this.#primary);
    return silent ? [...standing, this.#primary] : standing;
  }

  /** Where the present primary stands; with `waitMs`, once that is elsewhere than this node, or the time is over. */
  async primaryHead(waitMs = 0): Promise<NodeHead> {
    const { client, url } = this.#primary;
    const own = this.#own();
    const head = await (own === undefined || waitMs === 0 ? client.head(own) : client.nextHead(own, waitMs));
    if (!this.histories.admits(firstEpochOf(head.epochs), url))
      throw new AppError("not_ready", `${url} has another history`);
    return head;
  }

  /** Looks which of the nodes is the primary of the latest epoch, `least` at least. Whether that is another one than before. */
  async findPrimary(least: EpochId | undefined = this.#own()): Promise<boolean> {
    const [now, own] = [this.#clock.monotonicMs(), this.#own()];
    const isUrgent = least !== undefined && own !== undefined && compareEpochs(least, own) > 0;
    const intervalMs = isUrgent ? urgentSearchIntervalMs : searchIntervalMs;
    if (this.#neighbours.length === 1 || now - this.#searchedAtMs < intervalMs) return false;
    this.#searchedAtMs = now;
    const search = ++this.#searches;
    const found = await this.#latestPrimary(least);
    if (found === undefined || found.peer === this.#primary || search < this.#switchedBy) return false;
    this.#switchedBy = search;
    log.warning("the primary is {url} from now on, no longer {before}", {
      url: found.peer.url,
      before: this.#primary.url,
    });
    this.#primary = found.peer;
    for (const abandon of this.#abandon) abandon(new AppError("not_ready", "another node is the primary now"));
    for (const listener of this.#onSwitch) listener();
    return true;
  }

  /** The first primary of a later epoch than this node's that answers, or of all that answer the one of the latest epoch. */
  #latestPrimary(least: EpochId | undefined): Promise<PeerHead | undefined> {
    const own = this.#own();
    return new Promise((resolve) => {
      const isPrimary = ({ head }: PeerHead): boolean => head.role === "primary" && isAtLeast(head, least);
      const onHead = (standing: PeerHead): void => {
        if (isPrimary(standing) && own !== undefined && compareEpochs(epochOf(standing.head), own) > 0)
          resolve(standing);
      };
      const latest = (one: PeerHead, other: PeerHead): number => compareEpochs(epochOf(other.head), epochOf(one.head));
      void this.#heads(onHead).then((heads) => resolve(heads.filter(isPrimary).toSorted(latest)[0]));
    });
  }

  /** Where all stand that answer. */
  async heads(): Promise<readonly { readonly url: string; readonly head: NodeHead }[]> {
    return (await this.#heads()).map(({ peer: neighbour, head }) => ({ url: neighbour.url, head }));
  }

  /** The primaries that answer: those among the nodes, and those that nodes follow. */
  async livePrimaries(): Promise<readonly NodeHead[]> {
    const answers = await this.#ask(
      (client) => client.primaryHead(),
      () => 2 * headTimeoutMs,
    );
    return answers.flatMap(({ neighbour, answer: head }) => {
      // A node that was replaced, or may not write yet, is none.
      const isPrimary = head?.role === "primary" && head.a !== null;
      return isPrimary && this.histories.admits(firstEpochOf(head.epochs), neighbour.url) ? [head] : [];
    });
  }

  /** Whether one of them says of itself that it is about to be promoted, by this attempt. */
  confirmsCandidacy({ node, token }: Candidacy): Promise<boolean> {
    return new Promise((resolve) => {
      const answers = this.#neighbours.map(async ({ client }) => {
        const head = await this.#inTime(client.head(this.#own()));
        if (head?.node === node && head.candidacy === token) resolve(true);
      });
      void Promise.all(answers).then(() => resolve(false));
    });
  }

  /** Asks the primaries that answer to stop their writes for a candidate, and to let it have the lease. */
  async requestHandover(own: NodePosition, candidacy: Candidacy): Promise<void> {
    const asked = this.#named(own);
    const primaries = (await this.#heads()).filter(({ head }) => head.role === "primary" && head.e === own.epoch);
    const how = { force: false, graceful: true, leased: false, wanted: undefined };
    await Promise.all(
      primaries.map(({ peer: { client } }) => this.#inTime(client.requestVote(asked, candidacy, how), pledgeTimeoutMs)),
    );
  }

  /** What each says that is asked for its pledge, of which those `answering` have just answered another question; `undefined` where it says nothing. */
  async requestVotes(
    own: NodePosition,
    candidacy: Candidacy,
    how: VoteOptions,
    answering: ReadonlySet<string>,
  ): Promise<readonly { readonly url: string; readonly answer: VoteResponse | undefined }[]> {
    const asked = this.#named(own);
    const timeoutMs = ({ url }: PeerNode): number => (answering.has(url) ? pledgeTimeoutMs : headTimeoutMs);
    const answers = await this.#ask((client) => client.requestVote(asked, candidacy, how), timeoutMs);
    return answers.map(({ neighbour: { url }, answer }) => {
      const isOther =
        answer !== undefined && "head" in answer && !this.histories.admits(firstEpochOf(answer.head.epochs), url);
      return { url, answer: isOther ? undefined : answer };
    });
  }

  close(): void {
    for (const { client } of this.#neighbours) client.close();
  }

  #others(): readonly PeerNode[] {
    return this.#neighbours.filter((neighbour) => neighbour !== this.#primary);
  }

  /** A position with the history that it is in. */
  #named<T extends NodePosition | undefined>(asked: T): T {
    return asked === undefined ? asked : { ...asked, first: this.histories.own };
  }

  #admits(answer: LogResponse, { url }: PeerNode): boolean {
    return "page" in answer || this.histories.admits(firstEpochOf(answer.refused.epochs), url);
  }

  #isOther(epochs: NodeHead["epochs"]): boolean {
    return this.histories.own !== undefined && firstEpochOf(epochs) !== this.histories.own;
  }

  async #fromPrimary(asked: NodePosition): Promise<PeerLogResponse | { readonly error: Error }> {
    const from = this.#primary;
    try {
      const answer = await this.#unlessSwitched(from.client.log(asked));
      if (this.#isOwn(headOfResponse(answer)))
        return { error: new AppError("not_ready", `${from.url} is this node itself`) };
      if (!this.#admits(answer, from))
        return { error: new AppError("not_ready", `${from.url} has another history than this node`) };
      if ("refused" in answer && this.#isOther(answer.refused.epochs)) return { response: answer, peer: from };
      // One that is no primary (any more) may only be behind: what this node has more is part of the history all the same.
      if ("refused" in answer && answer.refused.head.role !== "primary" && !hasProgress(answer, asked))
        return {
          error: new AppError("not_ready", `${from.url} is not the primary, and stands where this node does or before`),
        };
      if (isAtLeast(headOfResponse(answer), asked)) return { response: answer, peer: from };
      return {
        error: new AppError(
          "not_ready",
          `${from.url} knows nothing of the present epoch: another primary took its place`,
        ),
      };
    } catch (error) {
      return { error: error instanceof Error ? error : new Error(reasonOf(error)) };
    }
  }

  async #unlessSwitched<T>(answer: Promise<T>): Promise<T> {
    const { promise: switched, reject } = Promise.withResolvers<never>();
    this.#abandon.add(reject);
    try {
      return await Promise.race([answer, switched]);
    } finally {
      this.#abandon.delete(reject);
    }
  }

  #isOwn({ node }: Pick<NodeHead, "node">): boolean {
    return node !== undefined && node === this.#ownId;
  }

  /** `onHead` is called with each as it comes. */
  async #heads(onHead: (standing: PeerHead) => void = () => {}): Promise<readonly PeerHead[]> {
    const standings = await Promise.all(
      this.#neighbours.map(async (neighbour): Promise<PeerHead | undefined> => {
        const head = await this.#inTime(neighbour.client.head(this.#own()));
        if (head === undefined || this.#isOwn(head)) return undefined;
        if (!this.histories.admits(firstEpochOf(head.epochs), neighbour.url)) return undefined;
        onHead({ peer: neighbour, head });
        return { peer: neighbour, head };
      }),
    );
    return standings.filter((standing) => standing !== undefined);
  }

  /** All at once. Who fails or takes too long has no answer. */
  #ask<T>(
    question: (client: NodeClient) => Promise<T>,
    timeoutMs: (neighbour: PeerNode) => number,
  ): Promise<readonly { readonly neighbour: PeerNode; readonly answer: T | undefined }[]> {
    return Promise.all(
      this.#neighbours.map(async (neighbour) => ({
        neighbour,
        answer: await this.#inTime(question(neighbour.client), timeoutMs(neighbour)),
      })),
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

function headOfResponse(answer: LogResponse): Pick<NodeHead, "e" | "n" | "node"> {
  return "page" in answer ? answer.page.head : answer.refused.head;
}

/** Its first epoch. */
function firstEpochOf(epochs: NodeHead["epochs"]): string | undefined {
  return epochs[0]?.epoch;
}

/** Whether nobody else needs to be asked. A node that is no primary (any more) may lack events that others have. */
function isFinal(answer: LogResponse): boolean {
  return !("page" in answer) || answer.page.ev.length > 0 || answer.page.head.role === "primary";
}

/** Whether a peer's answer brings this copy on: a page with something in it, or word of a later history or of one that goes further. */
function hasProgress(answer: LogResponse, asked: NodePosition): boolean {
  if ("page" in answer) return answer.page.ev.length > 0 && isAtLeast(answer.page.head, asked);
  const { code, head } = answer.refused;
  const later = compareEpochs(epochOf(head), asked);
  return later > 0 || (later === 0 && code === "trimmed" && head.l > asked.offset);
}

/** Whether a node stands in that epoch or in a later one. */
function isAtLeast(head: Pick<NodeHead, "e" | "n">, least: EpochId | undefined): boolean {
  return least === undefined || compareEpochs(epochOf(head), least) >= 0;
}
