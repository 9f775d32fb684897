/** Facts: read stored facts, change many in one transaction, delete all. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { FactPattern } from "../../engine/state/event.ts";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { Node, Writes } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { writeResponse, writeMetaOf } from "./write-response.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";
import { validatingSchema } from "../request/schema-error.ts";

export function factReads(node: Node, limits: Limits, queries: QueryDispatcher) {
  return new Elysia()
    .use(readAccess(node, "read", limits.readBodyBytesMax))
    .get(
      "/api/facts",
      ({ query, request }) => queries.askList("facts", factPatternOf(query), { holder: holderOf(exchangeOf(request)) }),
      { query: validatingSchema("query", z.record(z.string(), z.string())) },
    );
}

export function factWrites(node: Node, writes: Writes, limits: Limits, bodies: BodyParser) {
  return new Elysia()
    .use(writeAccess(node, "write", limits.writeBodyBytesMax))
    .post("/api/batch", async ({ body, request, set }) => {
      const changes = await bodies.parseChanges(body);
      const { inserted = 0, deleted = 0, ...result } = await writes.batch(changes, writeMetaOf(request));
      return writeResponse(set, result, `${count(inserted)} inserted, ${count(deleted)} deleted`);
    })
    .post("/api/clear_data", async ({ request, set }) =>
      writeResponse(set, await writes.clear(writeMetaOf(request)), "all facts deleted"),
    );
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
