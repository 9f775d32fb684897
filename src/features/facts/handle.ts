/** Facts: read stored facts, change many in one transaction, delete all, count them. */
import type { Limits } from "../../config/limits.ts";
import type { FactChange } from "../../log/event/event.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import { exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import {
  formatFactPageToken,
  formatObjectPageToken,
  parseFactPageToken,
  parseObjectPageToken,
} from "../../http/pages/fact-page-token.ts";
import type { Call, Handlers } from "../../http/router.ts";
import { addPosition, writeMetaOf, writeResponse, writesOf } from "../../http/write-response.ts";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { fitsInBytes } from "../../util/text-length.ts";
import type { Fact, FactPattern, Value } from "../../store/facts/fact.ts";
import type { ValueFilter } from "../../store/facts/fact-walk.ts";
import type { factEndpoints } from "./endpoints.ts";

export function handleFacts(node: Node, limits: Limits, queries: QueryDispatcher): Handlers<typeof factEndpoints> {
  const change = async ({ body, request, set }: ChangeCall) => {
    const { inserted = 0, deleted = 0, ...result } = await writesOf(node).batch(body, writeMetaOf(request));
    return writeResponse(set, result, `${count(inserted)} inserted, ${count(deleted)} deleted`);
  };
  return {
    // A request without a size and a token gets all facts in one list, for clients that do not know paging.
    getFacts: ({ query, request }) =>
      query["page_size"] === undefined && query["page_token"] === undefined
        ? queries.askList("facts", factPatternOf(query), { holder: holderOf(exchangeOf(request)) })
        : factPage(node, limits, query),
    getObjectFacts: ({ params, query }) => objectPage(node, limits, objectIn(params, limits), query),
    getObjects: ({ query: { type, prefix, page_size: idsMax } }) => node.engine().objectIds(type, prefix, idsMax),
    getStats: () => {
      const { policies, facts } = node.engine().statistics();
      const total = [...facts.values()].reduce((sum, each) => sum + each, 0);
      return {
        policy: { versions: policies.map(String) },
        facts: { total, predicates: Object.fromEntries(facts) },
      };
    },
    batch: change,
    bulk: change,
    bulkLoad: change,
    bulkDelete: change,
    deleteFacts: change,
    // The answer is the fact itself, because old clients return it to the application.
    postFact: async ({ body, request, set }) => {
      addPosition(set, await writesOf(node).batch(body, writeMetaOf(request)));
      return insertedFact(body);
    },
    // Official clients send no body, or `null`. A body with a pattern must not delete all facts.
    clearData: async ({ request, set }) =>
      writeResponse(set, await writesOf(node).clear(writeMetaOf(request)), "all facts deleted"),
  };
}

type ChangeCall = Pick<Call<(typeof factEndpoints)["batch"]>, "body" | "request" | "set">;

function insertedFact(changes: readonly FactChange[] | string): Fact {
  const [change] = typeof changes === "string" ? (JSON.parse(changes) as FactChange[]) : changes;
  return must(change !== undefined && "inserts" in change ? change.inserts[0] : undefined);
}

function count(facts: number): string {
  return facts === 1 ? "1 fact" : `${facts} facts`;
}

type FactsQuery = Readonly<Record<string, string>>;

/**
 * Parses the query string of `GET /api/facts`: `predicate`, and `args.<n>.type` and `args.<n>.id` with n from 0. A
 * missing or empty argument matches all values. The predicate is required: the Node client drops its query string when
 * it asks a fallback, and must not get all facts then.
 */
function factPatternOf(query: FactsQuery): FactPattern {
  const predicate = predicateOf(query);
  if (predicate === null)
    throw new AppError("invalid_request", "`predicate` in the query is missing, it names the facts to read");
  if (containsOf(query) !== null)
    throw new AppError("invalid_request", "`contains.type` in the query is for pages: add `page_size`");
  return { predicate, args: argumentsOf(query).map((arg) => arg ?? { type: null, id: null }) };
}

/** One page. All predicates are allowed here, since a client that drops its query string does not ask for a page. */
function factPage(node: Node, { factPageEntriesMax }: Limits, query: FactsQuery): FactPageBody {
  const size = pageSizeOf(query, factPageEntriesMax);
  const filter = { predicate: predicateOf(query), args: argumentsOf(query), contains: containsOf(query) };
  const token = query["page_token"];
  const after = token ? parseFactPageToken(token, filter) : undefined;
  const { facts, next } = node.engine().factPage(filter, after, size);
  return { results: facts, next_page_token: next && formatFactPageToken(next, filter) };
}

/** One page of the facts that mention an object. */
function objectPage(node: Node, { factPageEntriesMax }: Limits, value: Value, query: FactsQuery): FactPageBody {
  const unknown = Object.keys(query).find((name) => name !== "page_size" && name !== "page_token");
  if (unknown !== undefined)
    throw new AppError("invalid_request", `\`${unknown}\` in the query must be \`page_size\` or \`page_token\``);
  const size = pageSizeOf(query, factPageEntriesMax);
  const token = query["page_token"];
  const after = token ? parseObjectPageToken(token, value) : undefined;
  const { facts, next } = node.engine().objectFactPage(value, after, size);
  return { results: facts, next_page_token: next && formatObjectPageToken(next, value) };
}

function objectIn(params: Value, { identifierBytesMax }: Limits): Value {
  const part = (name: keyof Value): string => {
    if (fitsInBytes(params[name], identifierBytesMax)) return params[name];
    throw new AppError(
      "invalid_request",
      `the ${name} in the path must not be longer than ${identifierBytesMax} bytes`,
    );
  };
  return { type: part("type"), id: part("id") };
}

function pageSizeOf({ page_size: size }: FactsQuery, entriesMax: number): number {
  if (size === undefined) return entriesMax;
  if (/^[1-9]\d{0,8}$/.test(size)) return Number(size);
  throw new AppError("invalid_request", "`page_size` in the query must be a whole number from 1 on");
}

interface FactPageBody {
  readonly results: readonly Fact[];
  readonly next_page_token: string | null;
}

/** Null for all predicates. */
function predicateOf({ predicate }: FactsQuery): string | null {
  return predicate && predicate !== "_" ? predicate : null;
}

function argumentsOf(query: FactsQuery): (ValueFilter | null)[] {
  const args: { type?: string; id?: string }[] = [];
  for (const [name, text] of Object.entries(query)) {
    if (!name.startsWith("args.") || text === "") continue;
    const { index, part } = argumentOf(name);
    while (args.length <= index) args.push({});
    Object.assign(args[index] ?? {}, { [part]: text });
  }
  return args.map(({ type, id }, index) => filterOf(`args.${index}`, type, id));
}

/** The value, or any value of the type, that stands anywhere in the arguments. */
function containsOf(query: FactsQuery): ValueFilter | null {
  return filterOf("contains", query["contains.type"], query["contains.id"]);
}

function filterOf(name: string, type: string | undefined, id: string | undefined): ValueFilter | null {
  if (id && !type)
    throw new AppError("invalid_request", `\`${name}.type\` in the query must say of which type \`${name}.id\` is`);
  return type ? { type, id: id || null } : null;
}

/** An unknown argument is refused: without it the response would have more facts than the client wants. */
function argumentOf(name: string): { readonly index: number; readonly part: "type" | "id" } {
  const match = /^args\.(\d)\.(type|id)$/.exec(name);
  const index = Number(match?.[1]);
  if (match === null || index >= factArgumentsMax) {
    throw new AppError(
      "invalid_request",
      `\`${name}\` in the query must be \`args.<n>.type\` or \`args.<n>.id\` with n from 0 to ${factArgumentsMax - 1}`,
    );
  }
  return { index, part: match[2] === "id" ? "id" : "type" };
}
