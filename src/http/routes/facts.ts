/** Facts: read those that are stored, change many in one transaction, remove all. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { Answers } from "../../engine/node-answers.ts";
import type { Change } from "../../engine/event.ts";
import type { Node, Writes } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { readAccess, writeAccess } from "../access.ts";
import { committed, metaOf } from "../committed.ts";
import { exchangeOf, holderOf } from "../exchange.ts";
import { factPatternOf } from "../fact-pattern.ts";
import { refusing, taking } from "../schema-error.ts";
import { wire } from "../wire.ts";

export function factReads(node: Node, limits: Limits, answers: Answers) {
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .get(
      "/api/facts",
      async ({ query, request }) => await answers.ask("facts", factPatternOf(query), holderOf(exchangeOf(request))),
      {
        query: refusing("query", z.record(z.string(), z.string())),
      },
    );
}

export function factWrites(node: Node, writes: Writes, limits: Limits) {
  const take = taking("body", batchBody(limits));
  return new Elysia()
    .use(writeAccess(node, { role: "write", bodyBytesMax: limits.writeBodyBytesMax }))
    .post("/api/batch", async ({ body, request, set }) => {
      const changes = changesOf(take(body), limits.batchEntriesMax);
      const { inserted = 0, deleted = 0, ...result } = await writes.batch(changes, metaOf(request));
      return committed(set, result, `${count(inserted)} inserted, ${count(deleted)} deleted`);
    })
    .post("/api/clear_data", async ({ request, set }) =>
      committed(set, await writes.clear(metaOf(request)), "all facts deleted"),
    );
}

function batchBody(limits: Limits) {
  const { fact, pattern } = wire(limits);
  return z.array(
    z
      .object({ inserts: z.array(fact).optional(), deletes: z.array(pattern).optional() })
      .refine(({ inserts, deletes }) => (inserts === undefined) !== (deletes === undefined), {
        error: 'must be either `{"inserts": [...]}` or `{"deletes": [...]}`: their order matters',
      }),
  );
}

/** One transaction, in the order given: a fact inserted by one change may be deleted by the next. */
function changesOf(body: z.output<ReturnType<typeof batchBody>>, entriesMax: number): Change[] {
  const changes = body.map(({ inserts, deletes }): Change => (inserts ? { inserts } : { deletes: deletes ?? [] }));
  const entries = body.reduce((sum, { inserts, deletes }) => sum + (inserts ?? deletes ?? []).length, 0);
  if (entries > entriesMax) {
    throw new AppError(
      "too_large",
      `the batch has ${entries} entries, at most ${entriesMax} are allowed, send it in parts`,
    );
  }
  return changes;
}

function count(facts: number): string {
  return facts === 1 ? "1 fact" : `${facts} facts`;
}
