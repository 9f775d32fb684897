/** The stored facts of a running node: read page by page, and deleted by pattern whatever their number. */
import { factEndpoints } from "../features/facts/endpoints.ts";
import type { ResponseOf } from "../http/endpoint.ts";
import type { Fact } from "../store/facts/fact.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { reasonOf } from "../util/reason.ts";
import { type CallEndpoint, callEndpoint, callEndpointAgain, type NodeAccess, unexpectedAnswer } from "./node-api.ts";
import type { ValuePattern } from "../util/value-text.ts";
import { anyValue, formatFact, type WrittenPattern } from "./parse-fact.ts";

export interface FactFilter extends WrittenPattern {
  /** A value that one of the arguments must match. */
  readonly contains?: ValuePattern;
}

/** The most entries that a node accepts in one batch, by default. */
const pageSize = 1000;

/** A page of facts, and the token of the page after it. */
export interface FactPage {
  readonly facts: readonly Fact[];
  readonly next: string | null;
}

/** Yields the pages of `GET /api/facts` with a query, from the page of `token` on. */
export function factPages(access: NodeAccess, query: URLSearchParams, token: string | null = null) {
  return pagesOf((page, call) => call(access, factEndpoints.getFacts, { query: page }), query, token);
}

/** The first request is sent once, so that a wrong URL is reported immediately; the later ones survive a short outage. */
async function* pagesOf(
  read: (query: URLSearchParams, call: CallEndpoint) => Promise<ResponseOf<typeof factEndpoints.getFacts>>,
  query: URLSearchParams,
  token: string | null = null,
): AsyncGenerator<FactPage> {
  query.set("page_size", String(pageSize));
  let [call, next]: [CallEndpoint, string | null] = [callEndpoint, token];
  do {
    if (next !== null) query.set("page_token", next);
    const page = await read(query, call);
    // Without a size of pages, it would be one list.
    if (Array.isArray(page)) throw unexpectedAnswer("a page of facts");
    const { results, next_page_token: following } = page;
    // It would never end.
    if (following !== null && following === next) throw unexpectedAnswer("the next page of facts");
    yield { facts: results, next: following };
    [call, next] = [callEndpointAgain, following];
  } while (next !== null);
}

/**
 * Yields the facts that match, page by page. The node selects by what its API can express; the rest is selected here,
 * such as an id of any type.
 */
export async function* readFacts(access: NodeAccess, filter: FactFilter): AsyncGenerator<Fact[]> {
  for await (const { facts } of factPages(access, queryOf(filter)))
    yield facts.filter((found) => matches(found, filter));
}

/** Yields the facts that mention a value, page by page. A node of an earlier version has to look at all facts for it. */
export async function* readObjectFacts(
  access: NodeAccess,
  value: Fact["args"][number],
): AsyncGenerator<readonly Fact[]> {
  const { type, id } = value;
  const read = (query: URLSearchParams, call: CallEndpoint) =>
    call(access, factEndpoints.getObjectFacts, { params: { type, id }, query });
  // No URL has such a segment.
  if (!/^\.\.?$/.test(value.id)) {
    try {
      for await (const { facts } of pagesOf(read, new URLSearchParams())) yield facts;
      return;
    } catch (error) {
      if (!(error instanceof AppError && error.code === "not_found")) throw error;
    }
  }
  yield* readFacts(access, { predicate: null, args: [], contains: value });
}

export interface ChangeCounts {
  readonly inserted: number;
  readonly deleted: number;
}

/** Sends one batch, which is one transaction, and returns the number of facts that it really changed. */
export async function sendBatch(
  access: NodeAccess,
  changes: readonly object[],
  call = callEndpointAgain,
): Promise<ChangeCounts> {
  return countsIn((await call(access, factEndpoints.batch, { body: changes })).message);
}

/** The counts in the answer of a node to a batch. Throws AppError if it has none. */
export function countsIn(message: string): ChangeCounts {
  const [, inserted, deleted] = /^(\d+) facts? inserted, (\d+) facts? deleted$/.exec(message) ?? [];
  if (inserted === undefined) throw unexpectedAnswer("the result of a batch");
  return { inserted: Number(inserted), deleted: Number(deleted) };
}

/**
 * Deletes all facts that match, in one transaction if the node accepts that. A node refuses a pattern that matches too
 * many facts; then they are read page by page and each page is deleted in a transaction of its own, until one pattern
 * matches the rest. `onProgress` gets the number of facts deleted so far. Returns their number.
 */
export async function deleteFacts(
  access: NodeAccess,
  pattern: WrittenPattern & { readonly predicate: string },
  onProgress: (deleted: number) => void,
): Promise<number> {
  let total = 0;
  try {
    for (;;) {
      const rest = isExpressible(pattern)
        ? await deleteAtOnce(access, [pattern], total === 0 ? callEndpoint : callEndpointAgain)
        : undefined;
      if (rest !== undefined) return total + rest;
      const before = total;
      for await (const facts of readFacts(access, pattern)) {
        // Reads accept fewer arguments than a fact has; a pattern for deletion has all of them.
        const found = facts.filter(({ args }) => args.length === pattern.args.length);
        total += await deleteListed(access, found);
        onProgress(total);
      }
      // Another pass finds facts that were inserted meanwhile.
      if (total === before) return total;
    }
  } catch (error) {
    if (total === 0 || !(error instanceof AppError)) throw error;
    throw new AppError(
      error.code,
      `${reasonOf(error)} (${total} facts were deleted; run the command again for the rest)`,
    );
  }
}

/** Deletes listed facts, in parts if the node has a lower limit or if they are long. */
async function deleteListed(access: NodeAccess, facts: readonly Fact[]): Promise<number> {
  if (facts.length === 0) return 0;
  const deleted = await deleteAtOnce(access, facts, callEndpointAgain);
  if (deleted !== undefined) return deleted;
  const middle = Math.ceil(facts.length / 2);
  if (middle === facts.length) throw new AppError("too_large", `${formatFact(must(facts[0]))} is too large to delete`);
  const first = await deleteListed(access, facts.slice(0, middle));
  return first + (await deleteListed(access, facts.slice(middle)));
}

/** The number of deleted facts; undefined if they are too many for one transaction. */
async function deleteAtOnce(
  access: NodeAccess,
  patterns: readonly WrittenPattern[],
  call: CallEndpoint,
): Promise<number | undefined> {
  try {
    return (await sendBatch(access, [{ deletes: patterns }], call)).deleted;
  } catch (error) {
    if (error instanceof AppError && error.code === "too_large") return undefined;
    throw error;
  }
}

function queryOf({ predicate, args, contains = anyValue }: FactFilter): URLSearchParams {
  const query = new URLSearchParams();
  if (predicate !== null) query.set("predicate", predicate);
  const add = (prefix: string, { type, id }: ValuePattern): void => {
    if (type === null) return;
    query.set(`${prefix}.type`, type);
    if (id !== null) query.set(`${prefix}.id`, id);
  };
  args.forEach((arg, index) => add(`args.${index}`, arg));
  add("contains", contains);
  return query;
}

/** Whether the API of a node has this pattern: it has no id of any type. */
function isExpressible({ args }: WrittenPattern): boolean {
  return args.every(({ type, id }) => type !== null || id === null);
}

function matches(stored: Fact, { predicate, args, contains = anyValue }: FactFilter): boolean {
  return (
    (predicate === null || stored.predicate === predicate) &&
    args.length <= stored.args.length &&
    args.every((arg, index) => valueMatches(arg, stored.args[index])) &&
    stored.args.some((value) => valueMatches(contains, value))
  );
}

function valueMatches({ type, id }: ValuePattern, value: Fact["args"][number] | undefined): boolean {
  return (type === null || type === value?.type) && (id === null || id === value?.id);
}
