/**
 * Facts: read stored facts, change many in one transaction, delete all, count them. `POST /api/batch` is the write of
 * current clients; clients of major version 1 have one route for each kind of change.
 */
import { type Context, Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Fact, FactChange, FactPattern } from "../../engine/state/event.ts";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { Node, Writes } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import type { BodyParser, ChangeName } from "../request/body-parser.ts";
import { addPosition, writeResponse, writeMetaOf } from "./write-response.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";
import { validatingSchema } from "../request/schema-error.ts";

export function factReads(node: Node, limits: Limits, queries: QueryDispatcher) {
  return new Elysia()
    .use(readAccess(node, "read", limits.readBodyBytesMax))
    .get(
      "/api/facts",
      ({ query, request }) => queries.askList("facts", factPatternOf(query), { holder: holderOf(exchangeOf(request)) }),
      { query: validatingSchema("query", z.record(z.string(), z.string())) },
    )
    .get("/api/stats", () => {
      const { policies, facts } = node.engine().statistics();
      const total = [...facts.values()].reduce((sum, count) => sum + count, 0);
      return {
        policy: { versions: policies.map(String) },
        facts: { total, predicates: Object.fromEntries(facts) },
      };
    });
}

export function factWrites(node: Node, writes: Writes, limits: Limits, bodies: BodyParser) {
  const change = async (name: ChangeName, { body, request, set }: ChangeContext) => {
    const changes = await bodies.parseChanges(name, body);
    const { inserted = 0, deleted = 0, ...result } = await writes.batch(changes, writeMetaOf(request));
    return writeResponse(set, result, `${count(inserted)} inserted, ${count(deleted)} deleted`);
  };
  return (
    new Elysia()
      .use(writeAccess(node, "write", limits.writeBodyBytesMax))
      .post("/api/batch", ({ body, request, set }) => change("batch", { body, request, set }))
      .post("/api/bulk", ({ body, request, set }) => change("bulk", { body, request, set }))
      .post("/api/bulk_load", ({ body, request, set }) => change("bulkLoad", { body, request, set }))
      .post("/api/bulk_delete", ({ body, request, set }) => change("bulkDelete", { body, request, set }))
      .delete("/api/facts", ({ body, request, set }) => change("deleteFacts", { body, request, set }))
      // The answer is the fact itself, because old clients return it to the application.
      .post("/api/facts", async ({ body, request, set }) => {
        const changes = await bodies.parseChanges("insertFact", body);
        addPosition(set, await writes.batch(changes, writeMetaOf(request)));
        return insertedFact(changes);
      })
      .post("/api/clear_data", async ({ request, set }) =>
        writeResponse(set, await writes.clear(writeMetaOf(request)), "all facts deleted"),
      )
  );
}

type ChangeContext = Pick<Context, "body" | "request" | "set">;

function insertedFact(changes: readonly FactChange[] | string): Fact {
  const [change] = typeof changes === "string" ? (JSON.parse(changes) as FactChange[]) : changes;
  return must(change !== undefined && "inserts" in change ? change.inserts[0] : undefined);
}

function count(facts: number): string {
  return facts === 1 ? "1 fact" : `${facts} facts`;
}

/**
 * Parses the query string of `GET /api/facts`: `predicate`, and `args.<n>.type` and `args.<n>.id` with n from 0. A
 * missing or empty argument matches all values. The predicate is required: the Node client drops its query string when
 * it asks a fallback, and must not get all facts then.
 */
function factPatternOf(query: Readonly<Record<string, string>>): FactPattern {
  const predicate = query["predicate"];
  if (!predicate || predicate === "_") {
    throw new AppError("invalid_request", "`predicate` in the query is missing, it names the facts to read");
  }
  const args: { type: string | null; id: string | null }[] = [];
  for (const [name, text] of Object.entries(query)) {
    if (!name.startsWith("args.") || text === "") continue;
    const { index, part } = argumentOf(name);
    while (args.length <= index) args.push({ type: null, id: null });
    Object.assign(args[index] ?? {}, { [part]: text });
  }
  const untyped = args.findIndex(({ type, id }) => id !== null && type === null);
  if (untyped !== -1) {
    throw new AppError(
      "invalid_request",
      `\`args.${untyped}.type\` in the query must say of which type \`args.${untyped}.id\` is`,
    );
  }
  return { predicate, args };
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
