/** Questions about the policy and the facts. */
import { z } from "zod";
import { explanationSchema } from "../../engine/explain/explanation.ts";
import { json, namesSchema, endpoints, questionErrors, valuesSchema } from "../../http/endpoint.ts";

const errors = { errors: questionErrors, hasMoment: true } as const;
const common = { method: "POST", tag: "questions", kind: "read", role: "read", ...errors } as const;
const question = { ...common, hasHint: true } as const;
const old = { ...question, tag: "old", deprecated: true } as const;

/** Its handler does all work of its route itself (`authorize.ts`). */
export const authorizeEndpoints = endpoints({
  authorize: {
    ...question,
    path: "/api/authorize",
    summary: "May this actor perform this action on this resource?",
    body: "authorize",
    responses: () => ({ 200: json("The decision", z.strictObject({ allowed: z.boolean() }).meta({ id: "Decision" })) }),
  },
});

export const questionEndpoints = endpoints({
  authorizeResources: {
    ...question,
    path: "/api/authorize_resources",
    summary: "On which of these resources may the actor perform the action?",
    body: "authorizeResources",
    responses: () => ({ 200: json("The allowed ones, in the order of the request", valuesSchema) }),
  },
  list: {
    ...question,
    path: "/api/list",
    summary: "On which resources of a type may the actor perform the action?",
    description:
      "Without `page_size` and `page_token` the response has all ids and no `next_page_token`. The id `*` stands for all resources of the type.",
    body: "list",
    responses: () => ({
      200: json(
        "Ids in the order of their UTF-8 bytes; of a paged list with the token of the next page, `null` on the last one",
        z
          .strictObject({ results: z.array(z.string()), next_page_token: z.string().nullable().optional() })
          .meta({ id: "List" }),
      ),
    }),
    errors: [...questionErrors, "list_gone"],
  },
  actions: {
    ...question,
    path: "/api/actions",
    summary: "Which actions may the actor perform on this resource?",
    body: "actions",
    responses: () => ({ 200: json("The actions in the order of their UTF-8 bytes", namesSchema) }),
  },
  evaluateQuery: {
    ...question,
    path: "/api/evaluate_query",
    summary: "For which values of the variables do all calls hold?",
    body: "query",
    responses: () => ({
      200: json(
        "One object for each combination of values, by variable; `null` stands for every value of the type",
        z.strictObject({ results: z.array(z.record(z.string(), z.string().nullable())) }).meta({ id: "QueryResults" }),
      ),
    }),
  },
  explain: {
    ...common,
    path: "/api/explain",
    summary: "Why is this question of `authorize` answered as it is?",
    description:
      "With data bindings the response has `local`: which rows of the application's database can change the decision, and on what condition.",
    body: "explain",
    responses: () => ({ 200: json("The decision with its reasons", explanationSchema.meta({ id: "Explanation" })) }),
    errors: [...questionErrors, "not_found"],
  },
  query: {
    ...old,
    path: "/api/query",
    summary: "All facts that match a pattern: stored ones, those of the question, and derived ones",
    body: "queryPattern",
    responses: () => ({ 200: json("The facts; `null` stands for every value", patternsSchema) }),
  },
  bulkActions: {
    ...old,
    path: "/api/bulk_actions",
    summary: "The actions for several questions",
    description: "Context facts of the first question hold for all.",
    body: "bulkActions",
    responses: () => ({ 200: json("The actions for each question, in the same order", z.array(namesSchema)) }),
  },
});

const patternsSchema = z
  .strictObject({
    results: z.array(
      z.strictObject({
        predicate: z.string(),
        args: z.array(z.strictObject({ type: z.string().nullable(), id: z.string().nullable() })),
      }),
    ),
  })
  .meta({ id: "Patterns" });
