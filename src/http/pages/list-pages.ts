/**
 * Lists in pages. All pages of a list have the revision of its first page, which is in their tokens. A later page comes
 * from the cached result set. If there is none (another node, a restart, no room), the list is computed again, which
 * needs a database at the same revision. Otherwise the request gets 409: a page of another revision would skip or
 * repeat ids.
 */
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { Asking } from "../../decisions/decision-recorder.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Engine } from "../../engine/engine.ts";
import { ResultSets } from "../../engine/query/result-sets.ts";
import { pageOf, type ResultPage } from "../../engine/request/packed-strings.ts";
import type {
  AnswerNote,
  Listing,
  ListingQuestion,
  ListingVersion,
  PagedQuestion,
} from "../../engine/request/questions.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../log/event/position.ts";
import { AppError } from "../../util/app-error.ts";
import type { Revision } from "../../store/log/store-state.ts";
import { formatPageToken, malformedToken, type PageToken, parsePageToken, questionDigest } from "./page-token.ts";

/** The body of the response. */
export interface ListPageBody {
  readonly results: readonly string[];
  readonly next_page_token: string | null;
}

export class ListPages {
  readonly #node: Node;
  readonly #queries: QueryDispatcher;
  readonly #limits: Limits;
  readonly #resultSets: ResultSets;
  readonly #decisions: DecisionLog;
  #engine: Engine | undefined;

  constructor(node: Node, limits: Limits, queries: QueryDispatcher, decisions: DecisionLog) {
    this.#decisions = decisions;
    this.#node = node;
    this.#queries = queries;
    this.#limits = limits;
    this.#resultSets = new ResultSets(limits);
  }

  /**
   * The first page. The result set is cached only if it has more than `size` ids. After an empty page of size 0 the next
   * ones have the maximum size. Throws like `Engine.list`. The whole list is logged as one decision, here and where a
   * later page computes it again.
   */
  async first(question: PagedQuestion, size: number, asker: Asker): Promise<ListPageBody> {
    const engine = this.#currentEngine();
    const cached = this.#resultSets.isEmpty ? undefined : this.#firstOfCached(engine, question, size, asker);
    if (cached) return cached;
    const listing = await this.#compute(question, asker);
    const page = pageOf(listing.ids, 0, size);
    if (page.next === null) return { results: page.ids, next_page_token: null };
    const digest = questionDigest(question);
    this.#resultSets.add(digest, listing, holderOf(asker));
    return pageBody(page, listing, size || this.#limits.listPageEntriesMax, digest);
  }

  /**
   * The page of a token. Throws `invalid_request` for a token that is malformed or of another question, `list_gone` if
   * the list cannot be continued, `not_ready` if this node does not reach the token's revision in time.
   */
  async next(question: PagedQuestion, text: string, asker: Asker): Promise<ListPageBody> {
    const digest = questionDigest(question);
    const token = parsePageToken(text, digest);
    const { start, second } = token;
    const size = Math.min(token.size, this.#limits.listPageEntriesMax);
    if (second !== null && secondNow() - second > this.#limits.resultSetTtlMs / 1000) throw listGone();
    // Also for a cached result set: a node that does not trust its database answers no query.
    this.#currentEngine();
    const page =
      this.#resultSets.page(digest, token, start, size) ?? (await this.#computeAgain(question, token, size, asker));
    if (page.ids.length === 0) throw malformedToken();
    return pageBody(page, token, size, digest);
  }

  /** The first page of a result set that another client got at this revision and, if it matters, in this second. */
  #firstOfCached(engine: Engine, question: PagedQuestion, size: number, asker: Asker): ListPageBody | undefined {
    const digest = questionDigest(question);
    const { epoch, offset } = engine.revision();
    for (const second of [null, secondNow()]) {
      const version = { epoch, offset, second };
      const found = this.#resultSets.begin(digest, version, size);
      if (found === undefined) continue;
      if (found.note) this.#decisions.listed(asker, kindOf(question), question, found.note);
      return pageBody(found.page, version, size || this.#limits.listPageEntriesMax, digest);
    }
    return undefined;
  }

  /** Computes the list again at the token's revision and for its second, and caches it if more pages follow. */
  async #computeAgain(question: PagedQuestion, token: PageToken, size: number, asker: Asker): Promise<ResultPage> {
    // A client must not ask for the future.
    if (token.second !== null && token.second > secondNow()) throw listGone();
    await this.#reach(token);
    const listing = await this.#compute({ ...question, now: token.second ?? undefined }, asker);
    const isSame = isAt(listing, token) && (listing.second === null || listing.second === token.second);
    if (!isSame) throw listGone();
    const page = pageOf(listing.ids, token.start, size);
    if (page.next !== null)
      this.#resultSets.add(questionDigest(question), { ...listing, second: token.second }, holderOf(asker));
    return page;
  }

  /** Computes the list in the current database. A result of an earlier one must not get the revision of this one. */
  async #compute(question: PagedQuestion & Pick<ListingQuestion, "now">, asker: Asker): Promise<NotedListing> {
    const holder = holderOf(asker);
    for (;;) {
      const engine = this.#currentEngine();
      const note: AnswerNote = {};
      const listing =
        "actorType" in question
          ? await this.#queries.ask("actorListing", question, holder, note)
          : await this.#queries.ask("listing", question, holder, note);
      if (this.#currentEngine() !== engine) continue;
      const { now: _, ...asked } = question;
      this.#decisions.listed(asker, kindOf(question), asked, note);
      asker.hints = note.unknown ?? [];
      return { ...listing, note };
    }
  }

  /** Resolves when this node is at the revision. Waits for it as for a consistency token. */
  async #reach(revision: Revision): Promise<void> {
    const current = this.#currentEngine().revision();
    if (isAt(current, revision)) return;
    if (current.epoch === revision.epoch && current.offset > revision.offset) throw listGone();
    try {
      await this.#node.waitFor(formatToken(revision.epoch, revision.offset));
    } catch (error) {
      if (error instanceof AppError && error.code === "conflict") throw listGone();
      if (error instanceof AppError && error.code === "not_ready")
        throw new AppError("not_ready", "this node has not yet reached the revision of the `page_token`, try again");
      throw error;
    }
    if (!isAt(this.#currentEngine().revision(), revision)) throw listGone();
  }

  /**
   * Returns the engine, and clears the result sets of an earlier one. An edge gets another database if its own was
   * damaged, wrong or too old, so the result sets of that one are not valid. A fallback gets another database all the
   * time, and the earlier one was right.
   */
  #currentEngine(): Engine {
    const engine = this.#node.engine();
    if (engine !== this.#engine && this.#node.role !== "fallback") this.#resultSets.clear();
    this.#engine = engine;
    return engine;
  }
}

/** Gets the hints about the names of the question. */
type Asker = Asking & { hints: readonly string[] };

type NotedListing = Listing & { readonly note: AnswerNote };

/** The API key of the client. */
function holderOf({ principal }: Asking): string {
  return principal?.id ?? "";
}

function kindOf(question: PagedQuestion): "actorListing" | "listing" {
  return "actorType" in question ? "actorListing" : "listing";
}

function pageBody(
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
    "the list of the `page_token` cannot be continued: this node does not have it any more, and cannot compute it again at the same revision; request it again without a `page_token`",
  );
}
