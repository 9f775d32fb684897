/** The operations of `routes/policy.ts`. */
import { z } from "zod";
import { historyQuery, policyQuery, rollbackQuery, uploadQuery } from "./handle.ts";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { replaySchema } from "../decisions/endpoints.ts";
import { json, messageSchema, type Operation } from "../../http/endpoint.ts";
import {
  diagnosticSchema,
  failureSchema,
  policyErrorSchema,
  position,
  testCounts,
  testErrors,
} from "../../http/schemas/diagnostics.ts";

export function policyOperations(bodies: RequestParsers): Operation[] {
  const read = { method: "get", tag: "policy", kind: "read", role: "read" } as const;
  const check = {
    method: "post",
    tag: "policy",
    kind: "read",
    role: "read",
    errors: ["query_too_expensive", "too_many_requests"],
  } as const;
  return [
    {
      ...read,
      path: "/api/policy",
      id: "getPolicy",
      summary: "The active policy, or an earlier one by its number",
      query: policyQuery,
      responses: { 200: json("The policy; `null` if there is none", policySchema) },
    },
    {
      ...read,
      path: "/api/policy_metadata",
      id: "getPolicyMetadata",
      summary: "Roles, permissions and relations of each block of the active policy, or of an earlier one",
      description: "`id` and `version` mean the same.",
      query: policyQuery,
      responses: { 200: json("The blocks by name, and `global`", metadataSchema) },
      errors: ["not_found", "query_too_expensive", "too_many_requests"],
    },
    {
      method: "post",
      path: "/api/policy",
      id: "postPolicy",
      tag: "policy",
      summary: "Load a policy",
      description:
        "The policy is checked, and its tests run, before it becomes active; `force=true` skips the tests. A refused policy changes nothing.",
      kind: "write",
      role: "write",
      query: uploadQuery,
      body: bodies.policy.schema,
      responses: {
        200: json("The policy is active", messageSchema),
        202: json("The policy was active already", messageSchema),
      },
      errors: ["invalid_policy", "query_too_expensive", "too_many_requests"],
      errorBodies: { invalid_policy: policyErrorSchema },
    },
    {
      ...read,
      path: "/api/policy_history",
      id: "getPolicyHistory",
      summary: "The versions of the policy that are kept, the newest first",
      query: historyQuery,
      responses: { 200: json("A page of versions", historySchema) },
    },
    {
      method: "post",
      path: "/api/policy_rollback",
      id: "postPolicyRollback",
      tag: "policy",
      summary: "Load an older version of the policy again, as a new version",
      kind: "write",
      role: "write",
      query: rollbackQuery,
      body: bodies.policyRollback.schema,
      responses: {
        200: json("The version is active", messageSchema),
        202: json("The version was active already", messageSchema),
      },
      errors: ["not_found", "invalid_policy", "query_too_expensive", "too_many_requests"],
      errorBodies: { invalid_policy: policyErrorSchema },
    },
    {
      ...read,
      path: "/api/autocomplete_info",
      id: "getAutocompleteInfo",
      tag: "old",
      summary: "Suggestions for an editor of facts",
      responses: { 200: json("Lists of arguments by predicate, and the types of actors", suggestionsSchema) },
      errors: ["query_too_expensive", "too_many_requests"],
    },
    {
      ...check,
      path: "/api/validate",
      id: "validatePolicy",
      summary: "Check a policy without its tests, and store nothing",
      body: bodies.validate.schema,
      responses: { 200: json("The problems", validationSchema) },
    },
    {
      ...check,
      path: "/api/test",
      id: "testPolicy",
      summary: "Check a policy, run its tests, and store nothing",
      body: bodies.test.schema,
      responses: { 200: json("The problems, and the results of the tests", testReportSchema) },
    },
    {
      ...check,
      path: "/api/policy_effect",
      id: "policyEffect",
      summary: "What a policy would change: its tests, unused facts, and logged decisions; store nothing",
      description:
        "With `Accept: text/event-stream` the node sends `tests` and `unused_facts`, then `progress`, then `decisions`, each as an event with the member as its data. Closing the connection cancels the work.",
      body: bodies.policyEffect.schema,
      responses: {
        200: {
          description: "The effect; `decisions` is `null` if the policy has errors or none were asked for",
          content: { "application/json": effectSchema, "text/event-stream": z.string() },
        },
      },
    },
    {
      ...check,
      path: "/api/format",
      id: "formatPolicy",
      summary: "The canonical form of policy files; store nothing",
      body: bodies.validate.schema,
      responses: { 200: json("The text of each file, or its syntax errors", formatSchema) },
    },
    {
      ...check,
      path: "/api/explain_rules",
      id: "explainRules",
      summary: "The shorthand rules of a policy in longhand; store nothing",
      body: bodies.validate.schema,
      responses: { 200: json("Each shorthand rule as a rule outside of blocks, and the default rules", rulesSchema) },
    },
  ];
}

const policySchema = z
  .strictObject({
    policy: z
      .strictObject({
        filename: z.string().nullable(),
        src: z.string(),
        parts: z.array(z.strictObject({ filename: z.string(), lines: z.int() })).optional(),
      })
      .nullable(),
  })
  .meta({ id: "ActivePolicy" });

const historySchema = z
  .strictObject({
    versions: z.array(
      z.strictObject({
        id: z.int(),
        active: z.boolean(),
        filename: z.string().nullable(),
        time: z.iso.datetime(),
        author: z.strictObject({ id: z.string(), name: z.string().nullable() }).nullable(),
        message: z.string().nullable(),
        bytes: z.int(),
      }),
    ),
    next_page_token: z.string().optional(),
  })
  .meta({ id: "PolicyHistory" });

const suggested = z.strictObject({ kind: z.enum(["symbol", "string"]), value: z.string() }).meta({ id: "Suggestion" });
const suggestionsSchema = z
  .strictObject({ suggestions: z.record(z.string(), z.array(z.array(suggested))), actors: z.array(suggested) })
  .meta({ id: "Suggestions" });

const names = z.array(z.string());
const blockSchema = z.strictObject({ roles: names, permissions: names, relations: z.record(z.string(), z.string()) });

const metadataSchema = z
  .strictObject({ metadata: z.strictObject({ resources: z.record(z.string(), blockSchema.meta({ id: "Block" })) }) })
  .meta({ id: "PolicyMetadata" });

const validationSchema = z
  .strictObject({ success: z.boolean(), problems: z.array(diagnosticSchema) })
  .meta({ id: "PolicyValidation" });

const coverageSchema = z.strictObject({
  rules: z.int(),
  exercised: z.int(),
  complete: z.boolean(),
  unexercised: z.array(z.strictObject({ ...position, rule: z.string() })),
  counts: z.array(z.strictObject({ ...position, tests: z.int() })),
});

const testReportSchema = z
  .strictObject({
    success: z.boolean(),
    errors: testErrors,
    tests: testCounts,
    problems: z.array(diagnosticSchema),
    failures: z.array(failureSchema),
    coverage: coverageSchema.optional(),
  })
  .meta({ id: "PolicyTestReport" });

const effectSchema = z
  .strictObject({
    tests: testReportSchema,
    unused_facts: z.array(z.strictObject({ facts: z.string(), count: z.int() })),
    decisions: z
      .union([replaySchema, z.strictObject({ omitted: z.string().meta({ description: "Why there are none" }) })])
      .nullable(),
  })
  .meta({ id: "PolicyEffect" });

const formatSchema = z
  .strictObject({
    success: z.boolean(),
    files: z.array(
      z.strictObject({
        file: z.string(),
        changed: z.boolean(),
        problems: z.array(diagnosticSchema),
        text: z.string().optional(),
      }),
    ),
  })
  .meta({ id: "FormattedPolicy" });

const rulesSchema = z
  .strictObject({
    success: z.boolean(),
    problems: z.array(diagnosticSchema),
    rules: z.array(z.strictObject({ ...position, shorthand: z.string(), longhand: z.string() })),
    implicit: z.array(z.string()),
  })
  .meta({ id: "ExplainedRules" });
