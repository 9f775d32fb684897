/** The AuthZEN Authorization API 1.0: evaluations, searches and discovery. */
import { z } from "zod";
import { json, endpoints, questionErrors, valueSchema } from "../../http/endpoint.ts";

const question = {
  method: "POST",
  tag: "authzen",
  kind: "read",
  role: "read",
  errors: questionErrors,
  errorBody: () => errorTextSchema,
  hasHint: true,
  requiresJson: true,
} as const;
const search = { ...question, errors: [...questionErrors, "list_gone"] } as const;
const discovery = {
  method: "GET",
  tag: "authzen",
  kind: "node",
  role: undefined,
  errors: ["not_found"],
  responses: () => ({ 200: json("The endpoints", discoverySchema) }),
} as const;

export const authzenEndpoints = endpoints({
  authzenEvaluation: {
    ...question,
    path: "/access/v1/evaluation",
    summary: "May this subject perform this action on this resource?",
    body: "evaluation",
    responses: () => ({ 200: json("The decision", decisionSchema) }),
  },
  authzenEvaluations: {
    ...question,
    path: "/access/v1/evaluations",
    summary: "Several evaluations in one request",
    body: "evaluations",
    responses: () => ({
      200: json(
        "The decisions, in the order of the request; one decision for a request without `evaluations`",
        z.union([decisionSchema, z.strictObject({ evaluations: z.array(decisionSchema) })]),
      ),
    }),
  },
  authzenSearchSubject: {
    ...search,
    path: "/access/v1/search/subject",
    summary: "Which subjects of a type may perform the action on the resource?",
    body: "searchSubject",
    responses: () => ({ 200: json("The subjects", entitiesSchema) }),
  },
  authzenSearchResource: {
    ...search,
    path: "/access/v1/search/resource",
    summary: "On which resources of a type may the subject perform the action?",
    body: "searchResource",
    responses: () => ({ 200: json("The resources", entitiesSchema) }),
  },
  authzenSearchAction: {
    ...search,
    path: "/access/v1/search/action",
    summary: "Which actions may the subject perform on the resource?",
    body: "searchAction",
    responses: () => ({ 200: json("The actions", actionsSchema) }),
  },
  authzenConfiguration: {
    ...discovery,
    path: "/.well-known/authzen-configuration",
    summary: "The endpoints of AuthZEN, with the configured `publicUrl`",
  },
  authzenConfigurationWithPath: {
    ...discovery,
    path: "/.well-known/authzen-configuration/*",
    summary: "The same, if `publicUrl` has a path",
  },
});

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
