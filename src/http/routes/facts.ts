/** Facts: read those that are stored, change many in one transaction, remove all. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node, Writes } from "../../replication/node.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { writeResponse, writeMetaOf } from "./write-response.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";
import { factPatternOf } from "../request/fact-pattern.ts";
import { validatingSchema } from "../request/schema-error.ts";

export function factReads(node: Node, limits: Limits, answers: QueryDispatcher) {
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .get(
      "/api/facts",
      ({ query, request }) => answers.askList("facts", factPatternOf(query), { holder: holderOf(exchangeOf(request)) }),
      {
        query: validatingSchema("query", z.record(z.string(), z.string())),
      },
    );
}

export function factWrites(node: Node, writes: Writes, limits: Limits, bodies: BodyParser) {
  return new Elysia()
    .use(writeAccess(node, { role: "write", bodyBytesMax: limits.writeBodyBytesMax }))
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
