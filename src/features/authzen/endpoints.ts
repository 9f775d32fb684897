/** The operations of `routes/authzen.ts`. */
import { z } from "zod";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { json, type Operation, questionErrors, valueSchema } from "../../http/endpoint.ts";

export function authzenOperations(bodies: RequestParsers): Operation[] {
  const question = {
    method: "post",
    tag: "authzen",
    kind: "read",
    role: "read",
    errors: questionErrors,
    errorBody: errorTextSchema,
    hasHint: true,
  } as const;
  const search = { ...question, errors: [...questionErrors, "list_gone"] } as const;
  const discovery = {
    method: "get",
    tag: "authzen",
    kind: "other",
    role: undefined,
    errors: ["not_found"],
    responses: { 200: json("The endpoints", discoverySchema) },
  } as const;
  return [
    {
      ...question,
      path: "/access/v1/evaluation",
      id: "authzenEvaluation",
      summary: "May this subject perform this action on this resource?",
      body: bodies.evaluation.schema,
      responses: { 200: json("The decision", decisionSchema) },
    },
    {
      ...question,
      path: "/access/v1/evaluations",
      id: "authzenEvaluations",
      summary: "Several evaluations in one request",
      body: bodies.evaluations.schema,
      responses: {
        200: json(
          "The decisions, in the order of the request; one decision for a request without `evaluations`",
          z.union([decisionSchema, z.strictObject({ evaluations: z.array(decisionSchema) })]),
        ),
      },
    },
    {
      ...search,
      path: "/access/v1/search/subject",
      id: "authzenSearchSubject",
      summary: "Which subjects of a type may perform the action on the resource?",
      body: bodies.searchSubject.schema,
      responses: { 200: json("The subjects", entitiesSchema) },
    },
    {
      ...search,
      path: "/access/v1/search/resource",
      id: "authzenSearchResource",
      summary: "On which resources of a type may the subject perform the action?",
      body: bodies.searchResource.schema,
      responses: { 200: json("The resources", entitiesSchema) },
    },
    {
      ...search,
      path: "/access/v1/search/action",
      id: "authzenSearchAction",
      summary: "Which actions may the subject perform on the resource?",
      body: bodies.searchAction.schema,
      responses: { 200: json("The actions", actionsSchema) },
    },
    {
      ...discovery,
      path: "/.well-known/authzen-configuration",
      id: "authzenConfiguration",
      summary: "The endpoints of AuthZEN, with the configured `publicUrl`",
    },
    {
      ...discovery,
      path: "/.well-known/authzen-configuration/*",
      id: "authzenConfigurationWithPath",
      summary: "The same, if `publicUrl` has a path",
    },
  ];
}

const errorTextSchema = z.string().meta({ id: "AuthzenError" });

const decisionSchema = z
  .strictObject({
    decision: z.boolean(),
    context: z.strictObject({ error: z.strictObject({ status: z.int(), message: z.string() }) }).optional(),
  })
  .meta({ id: "AuthzenDecision" });

const entitiesSchema = z
  .strictObject({ page: z.strictObject({ next_token: z.string() }).optional(), results: z.array(valueSchema) })
  .meta({ id: "AuthzenEntities" });

const actionsSchema = z
  .strictObject({ results: z.array(z.strictObject({ name: z.string() })) })
  .meta({ id: "AuthzenActions" });

const discoverySchema = z
  .strictObject({
    policy_decision_point: z.string(),
    access_evaluation_endpoint: z.string(),
    access_evaluations_endpoint: z.string(),
    search_subject_endpoint: z.string(),
    search_resource_endpoint: z.string(),
    search_action_endpoint: z.string(),
  })
  .meta({ id: "AuthzenConfiguration" });
