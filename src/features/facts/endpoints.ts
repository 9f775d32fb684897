/** Facts. `POST /api/batch` is the write of current clients; those of major version 1 have an endpoint for each kind of change. */
import { z } from "zod";
import { factArgumentsMax } from "../../polar/policy.ts";
import { factSchema, json, messageSchema, endpoints } from "../../http/endpoint.ts";

const write = { tag: "facts", kind: "write", role: "write", hasHint: true } as const;
const old = { ...write, tag: "old", deprecated: true, errors: ["too_many_requests"] } as const;

export const factEndpoints = endpoints({
  getFacts: {
    method: "GET",
    path: "/api/facts",
    tag: "facts",
    summary: "Stored facts that match a pattern",
    description:
      "A missing or empty part of an argument matches everything. With `page_size` or `page_token` the response is a page; `predicate` may be left out then.",
    kind: "read",
    role: "read",
    query: () => factsQuery,
    readsQuery: true,
    responses: () => ({ 200: json("All facts, or a page of them", z.union([z.array(factSchema), factPageSchema])) }),
    errors: ["query_too_expensive", "too_many_requests"],
  },
  getObjectFacts: {
    method: "GET",
    path: "/api/objects/:type/:id/facts",
    tag: "facts",
    summary: "Stored facts that mention a value, as any of their arguments",
    description: "The facts that an index finds come first. A page may be short, or empty, although more follow.",
    kind: "read",
    role: "read",
    query: () => z.object(pageQuery),
    readsQuery: true,
    responses: () => ({ 200: json("A page of facts", factPageSchema) }),
    errors: ["list_gone"],
  },
  getObjects: {
    method: "GET",
    path: "/api/objects",
    tag: "facts",
    summary: "Ids of a type that begin with a text, for the completion of inputs",
    description:
      "The ids of objects that stored facts mention, in order, at most `page_size` (by default 20). An object that only arguments without an index mention can be missing.",
    kind: "read",
    role: "read",
    query: () => objectsQuery,
    responses: () => ({
      200: json(
        "The ids",
        z
          .strictObject({
            ids: z.array(z.string()),
            more: z.boolean().meta({ description: "Whether there may be more" }),
          })
          .meta({ id: "ObjectIds" }),
      ),
    }),
  },
  batch: {
    ...write,
    method: "POST",
    path: "/api/batch",
    summary: "Insert and delete facts in one transaction, in the given order",
    body: "batch",
    responses: () => ({ 200: json("The number of changes", messageSchema) }),
    errors: ["too_many_requests"],
  },
  clearData: {
    ...write,
    method: "POST",
    path: "/api/clear_data",
    audit: "facts.clear",
    summary: "Delete all facts; the policy and the API keys stay",
    responses: () => ({ 200: json("All facts are deleted", messageSchema) }),
  },
  deleteFacts: {
    ...old,
    method: "DELETE",
    path: "/api/facts",
    summary: "Delete the facts that match a pattern",
    body: "deleteFacts",
    responses: () => ({ 200: json("The number of changes", messageSchema) }),
  },
  postFact: {
    ...old,
    method: "POST",
    path: "/api/facts",
    summary: "Store one fact",
    body: "insertFact",
    responses: () => ({ 200: json("The fact", factSchema) }),
  },
  bulkLoad: {
    ...old,
    method: "POST",
    path: "/api/bulk_load",
    summary: "Store a list of facts in one transaction",
    body: "bulkLoad",
    responses: () => ({ 200: json("The number of changes", messageSchema) }),
  },
  bulkDelete: {
    ...old,
    method: "POST",
    path: "/api/bulk_delete",
    summary: "Delete the facts that match one of a list of patterns, in one transaction",
    body: "bulkDelete",
    responses: () => ({ 200: json("The number of changes", messageSchema) }),
  },
  bulk: {
    ...old,
    method: "POST",
    path: "/api/bulk",
    summary: "Delete the facts that match patterns, then store facts, in one transaction",
    body: "bulk",
    responses: () => ({ 200: json("The number of changes", messageSchema) }),
  },
  getStats: {
    method: "GET",
    path: "/api/stats",
    tag: "old",
    deprecated: true,
    kind: "read",
    role: "read",
    summary: "The numbers of policies, and of the facts of each predicate",
    responses: () => ({ 200: json("The numbers", statisticsSchema) }),
  },
});

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

const objectsQuery = z.object({
  type: z.string().min(1).max(1000),
  prefix: z.string().max(1000).default(""),
  page_size: z
    .string()
    .regex(/^(?:[1-9]\d?|100)$/, { error: "must be a whole number from 1 to 100" })
    .default("20")
    .transform(Number),
});

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
