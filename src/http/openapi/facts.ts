/** The operations of `routes/facts.ts`. */
import { z } from "zod";
import { factArgumentsMax } from "../../polar/policy.ts";
import type { RequestParsers } from "../request/request-schemas.ts";
import { factSchema, json, messageSchema, type Operation } from "./operation.ts";

export function factOperations(bodies: RequestParsers): Operation[] {
  const write = { tag: "facts", kind: "write", role: "write" } as const;
  return [
    {
      method: "get",
      path: "/api/facts",
      id: "getFacts",
      tag: "facts",
      summary: "Stored facts that match a pattern",
      description: "A missing or empty part of an argument matches everything.",
      kind: "read",
      role: "read",
      query: factsQuery,
      responses: { 200: json("The facts, in no particular order", z.array(factSchema)) },
      errors: ["query_too_expensive", "too_many_requests"],
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
  ];
}

const argument = (index: number) => ({
  [`args.${index}.type`]: z.string().optional(),
  [`args.${index}.id`]: z.string().optional(),
});

const factsQuery = z.object({
  predicate: z.string().min(1),
  ...Object.assign({}, ...Array.from({ length: factArgumentsMax }, (_, index) => argument(index))),
});
