/**
 * Lists in pages. All pages of a list are of the revision of its first one, which their tokens name: later ones come from the list as it was kept,
 * or, where it is not (another node, a restart, no room), from one that is made again, if this copy is at that very revision. Else the list is
 * gone, and a 409 says so: a page of another revision would skip or repeat ids.
 */
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Engine } from "../../engine/engine.ts";
import {
  type ListingVersion,
  type ResultPage,
  ResultSets,
  type PackedListing,
  pageOf,
  type Revision,
} from "../../engine/query/result-sets.ts";
import type { ListingQuestion, ListQuestion } from "../../engine/request/questions.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../replication/position.ts";
import { AppError } from "../../util/app-error.ts";
import { formatPageToken, malformedToken, type PageToken, parsePageToken, questionDigest } from "./page-token.ts";

/** The body of the answer. */
export interface ListPageBody {
  readonly results: readonly string[];
  readonly next_page_token: string | null;
}

export class ListPages {
  readonly #node: Node;
  readonly #answers: QueryDispatcher;
  readonly #limits: Limits;
  readonly #listings: ResultSets;
  #engine: Engine | undefined;

  constructor(node: Node, limits: Limits, answers: QueryDispatcher) {
    this.#node = node;
    this.#answers = answers;
    this.#limits = limits;
    this.#listings = new ResultSets(limits);
  }

  /**
   * Begins the list. Something is kept only where it has more than `size` ids. Throws what `Engine.list` does. `holder` is the API key that asks, here
   * and below.
   */
  async first(question: ListQuestion, size: number, holder: string): Promise<ListPageBody> {
    const engine = this.#present();
    const begun = this.#listings.isEmpty ? undefined : this.#beginKept(engine, question, size);
    if (begun) return begun;
    const listing = await this.#take(question, holder);
    const page = pageOf(listing.ids, 0, size);
    if (page.next === null) return { results: page.ids, next_page_token: null };
    const digest = questionDigest(question);
    this.#listings.add(digest, listing, holder);
    return answer(page, listing, size, digest);
  }

  /**
   * The page that the token names. Throws `invalid_request` for a token that is malformed or of another question, `list_gone` where nobody can go on
   * with the list, `not_ready` where this node does not reach its revision in time.
   */
  async next(question: ListQuestion, text: string, holder: string): Promise<ListPageBody> {
    const digest = questionDigest(question);
    const token = parsePageToken(text, digest);
    const { start, second } = token;
    const size = Math.min(token.size, this.#limits.listPageEntriesMax);
    if (second !== null && secondNow() - second > this.#limits.listCursorTtlMs / 1000) throw listGone();
    // For a list that is kept, too: a node that does not trust its copy answers nothing.
    this.#present();
    const page =
      this.#listings.page(digest, token, start, size) ?? (await this.#makeAgain(question, token, size, holder));
    if (page.ids.length === 0) throw malformedToken();
    return answer(page, token, size, digest);
  }

  /** The same question of somebody else may have been answered already, at this revision and for this second. */
  #beginKept(engine: Engine, question: ListQuestion, size: number): ListPageBody | undefined {
    const digest = questionDigest(question);
    const { epoch, offset } = engine.revision();
    for (const second of [null, secondNow()]) {
      const name = { epoch, offset, second };
      const page = this.#listings.begin(digest, name, size);
      if (page) return answer(page, name, size, digest);
    }
    return undefined;
  }

  /** Takes the list anew, at the token's revision and for its second, and keeps it where more pages follow. */
  async #makeAgain(question: ListQuestion, token: PageToken, size: number, holder: string): Promise<ResultPage> {
    // What holds later is nobody's to ask for.
    if (token.second !== null && token.second > secondNow()) throw listGone();
    await this.#reach(token);
    const listing = await this.#take({ ...question, now: token.second ?? undefined }, holder);
    const isSame = isAt(listing, token) && (listing.second === null || listing.second === token.second);
    if (!isSame) throw listGone();
    const page = pageOf(listing.ids, token.start, size);
    if (page.next !== null) this.#listings.add(questionDigest(question), { ...listing, second: token.second }, holder);
    return page;
  }

  /** Of the present copy: what another one gave is not kept under the name of this one. */
  async #take(question: ListingQuestion, holder: string): Promise<PackedListing> {
    for (;;) {
      const engine = this.#present();
      const listing = await this.#answers.listing(question, holder);
      if (this.#present() === engine) return listing;
    }
  }

  /** Resolves when this copy is at the revision. Waits for it as for a consistency token. */
  async #reach(revision: Revision): Promise<void> {
    const present = this.#present().revision();
    if (isAt(present, revision)) return;
    if (present.epoch === revision.epoch && present.offset > revision.offset) throw listGone();
    try {
      await this.#node.waitFor(formatToken(revision.epoch, revision.offset));
    } catch (error) {
      if (error instanceof AppError && error.code === "conflict") throw listGone();
      if (error instanceof AppError && error.code === "not_ready")
        throw new AppError("not_ready", "this node has not yet reached the revision of the `page_token`, try again");
      throw error;
    }
    if (!isAt(this.#present().revision(), revision)) throw listGone();
  }

  /**
   * The engine, and only lists of it. An edge gets another copy where its own was not to be trusted, or too old: then its lists are neither. A
   * fallback gets one all the time, and there is nothing wrong with the one before.
   */
  #present(): Engine {
    const engine = this.#node.engine();
    if (engine !== this.#engine && this.#node.role !== "fallback") this.#listings.clear();
    this.#engine = engine;
    return engine;
  }
}

function answer(
  { ids, next }: ResultPage,
  { epoch, offset, second }: ListingVersion,
  size: number,
  digest: string,
): ListPageBody {
  const token = next === null ? null : formatPageToken({ epoch, offset, second, size, start: next }, digest);
  return { results: ids, next_page_token: token };
}

function isAt(state: Revision, { epoch, offset }: Revision): boolean {
  return state.epoch === epoch && state.offset === offset;
}

function secondNow(): number {
  return Math.floor(Date.now() / 1000);
}

function listGone(): AppError {
  return new AppError(
    "list_gone",
    "the list that the `page_token` belongs to can't be gone on with: it is not kept here, and can't be taken again as it was; begin it again without a `page_token`",
  );
}
