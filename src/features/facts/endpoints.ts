/** The operations of `routes/facts.ts`. */
import { z } from "zod";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { factSchema, json, messageSchema, type Operation } from "../../http/endpoint.ts";

export function factOperations(bodies: RequestParsers): Operation[] {
  const write = { tag: "facts", kind: "write", role: "write" } as const;
  const old = { ...write, tag: "old", deprecated: true, errors: ["too_many_requests"] } as const;
  return [
    {
      method: "get",
      path: "/api/facts",
      id: "getFacts",
      tag: "facts",
      summary: "Stored facts that match a pattern",
      description:
        "A missing or empty part of an argument matches everything. With `page_size` or `page_token` the response is a page; `predicate` may be left out then.",
      kind: "read",
      role: "read",
      query: factsQuery,
      responses: { 200: json("All facts, or a page of them", z.union([z.array(factSchema), factPageSchema])) },
      errors: ["query_too_expensive", "too_many_requests"],
    },
    {
      method: "get",
      path: "/api/objects/:type/:id/facts",
      id: "getObjectFacts",
      tag: "facts",
      summary: "Stored facts that mention a value, as any of their arguments",
      description: "The facts that an index finds come first. A page may be short, or empty, although more follow.",
      kind: "read",
      role: "read",
      query: z.object(pageQuery),
      responses: { 200: json("A page of facts", factPageSchema) },
      errors: ["list_gone"],
    },
    {
      ...write,
      method: "post",
      path: "/api/batch",
      id: "batch",
      summary: "Insert and delete facts in one transaction, in the given order",
      body: bodies.batch.schema,
      responses: { 200: json("The number of changes", messageSchema) },
      errors: ["too_many_requests"],
    },
    {
      ...write,
      method: "post",
      path: "/api/clear_data",
      id: "clearData",
      summary: "Delete all facts; the policy and the API keys stay",
      responses: { 200: json("All facts are deleted", messageSchema) },
    },
    {
      ...old,
      method: "post",
      path: "/api/facts",
      id: "postFact",
      summary: "Store one fact",
      body: bodies.insertFact.schema,
      responses: { 200: json("The fact", factSchema) },
    },
    {
      ...old,
      method: "delete",
      path: "/api/facts",
      id: "deleteFacts",
      summary: "Delete the facts that match a pattern",
      body: bodies.deleteFacts.schema,
      responses: { 200: json("The number of changes", messageSchema) },
    },
    {
      ...old,
      method: "post",
      path: "/api/bulk_load",
      id: "bulkLoad",
      summary: "Store a list of facts in one transaction",
      body: bodies.bulkLoad.schema,
      responses: { 200: json("The number of changes", messageSchema) },
    },
    {
      ...old,
      method: "post",
      path: "/api/bulk_delete",
      id: "bulkDelete",
      summary: "Delete the facts that match one of a list of patterns, in one transaction",
      body: bodies.bulkDelete.schema,
      responses: { 200: json("The number of changes", messageSchema) },
    },
    {
      ...old,
      method: "post",
      path: "/api/bulk",
      id: "bulk",
      summary: "Delete the facts that match patterns, then store facts, in one transaction",
      body: bodies.bulk.schema,
      responses: { 200: json("The number of changes", messageSchema) },
    },
    {
      method: "get",
      path: "/api/stats",
      id: "getStats",
      tag: "old",
      deprecated: true,
      kind: "read",
      role: "read",
      summary: "The numbers of policies, and of the facts of each predicate",
      responses: { 200: json("The numbers", statisticsSchema) },
    },
  ];
}

const argument = (index: number) => ({
  [`args.${index}.type`]: z.string().optional(),
  [`args.${index}.id`]: z.string().optional(),
});

const pageQuery = {
  page_size: z
    .string()
    .regex(/^[1-9]\d{0,8}$/)
    .optional(),
  page_token: z.string().optional(),
};

const factsQuery = z.object({
  predicate: z.string().optional(),
  ...Object.assign({}, ...Array.from({ length: factArgumentsMax }, (_, index) => argument(index))),
  "contains.type": z.string().optional(),
  "contains.id": z.string().optional(),
  ...pageQuery,
});

const factPageSchema = z
  .strictObject({ results: z.array(factSchema), next_page_token: z.string().nullable() })
  .meta({ id: "FactPage" });

const statisticsSchema = z
  .strictObject({
    policy: z.strictObject({ versions: z.array(z.string()) }),
    facts: z.strictObject({ total: z.int(), predicates: z.record(z.string(), z.int()) }),
  })
  .meta({ id: "Statistics" });
