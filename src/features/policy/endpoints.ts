/** The policy: read it, its declarations and its history, replace it, go back to an older one, check another one. */
import { z } from "zod";
import { explanationSchema } from "../../engine/explain/explanation.ts";
import { replaySchema } from "../../http/schemas/logged-decision.ts";
import { flag, pageSize } from "../../http/request/query-schemas.ts";
import { json, messageSchema, endpoints } from "../../http/endpoint.ts";
import {
  diagnosticSchema,
  failureSchema,
  policyErrorSchema,
  position,
  testCounts,
  testErrors,
} from "../../http/schemas/diagnostics.ts";

const read = { method: "GET", tag: "policy", kind: "read", role: "read" } as const;
const check = {
  method: "POST",
  tag: "policy",
  kind: "read",
  role: "read",
  weighs: "body-as-write",
  errors: ["query_too_expensive", "too_many_requests"],
} as const;

export const policyEndpoints = endpoints({
  getPolicy: {
    ...read,
    path: "/api/policy",
    summary: "The active policy, or an earlier one by its number",
    query: () => policyQuery,
    responses: () => ({ 200: json("The policy; `null` if there is none", policySchema) }),
  },
  getPolicyMetadata: {
    ...read,
    path: "/api/policy_metadata",
    summary: "Roles, permissions and relations of each block of the active policy, or of an earlier one",
    description: "`id` and `version` mean the same.",
    query: () => policyQuery,
    responses: () => ({ 200: json("The blocks by name, and `global`", metadataSchema) }),
    errors: ["not_found", "query_too_expensive", "too_many_requests"],
  },
  getPolicyModel: {
    ...read,
    path: "/api/policy_model",
    summary: "The types and names of the active policy, or of an earlier one, and what implies what",
    description:
      "An implication is a rule that gives `to` to who has `from`, on the same object or on the one that the relation `through` names; `from` is `null` if no role, permission or relation leads to it.",
    query: () => modelQuery,
    responses: () => ({ 200: json("The model, with the line of each name and rule", modelSchema) }),
    errors: ["not_found", "query_too_expensive", "too_many_requests"],
  },
  postPolicy: {
    method: "POST",
    path: "/api/policy",
    tag: "policy",
    audit: "policy.upload",
    summary: "Load a policy",
    description:
      "The policy is checked, and its tests run, before it becomes active; `force=true` skips the tests. A refused policy changes nothing. With `replaces=VERSION` it is also refused if another version is active by the time it would become active: of two people who change the same version, the second one gets `conflict`, with the active version.",
    kind: "write",
    role: "write",
    query: () => uploadQuery,
    body: "policy",
    responses: () => ({
      200: json("The policy is active", messageSchema),
      202: json("The policy was active already", messageSchema),
    }),
    errors: ["conflict", "invalid_policy", "query_too_expensive", "too_many_requests"],
    errorBodies: () => ({ conflict: policyConflictSchema, invalid_policy: policyErrorSchema }),
  },
  getPolicyHistory: {
    ...read,
    path: "/api/policy_history",
    summary: "The versions of the policy that are kept, the newest first",
    query: () => historyQuery,
    responses: () => ({ 200: json("A page of versions", historySchema) }),
  },
  postPolicyRollback: {
    method: "POST",
    path: "/api/policy_rollback",
    tag: "policy",
    audit: "policy.rollback",
    summary: "Load an older version of the policy again, as a new version",
    description: "`force` and `replaces` mean the same as for an upload.",
    kind: "write",
    role: "write",
    query: () => rollbackQuery,
    body: "policyRollback",
    responses: () => ({
      200: json("The version is active", messageSchema),
      202: json("The version was active already", messageSchema),
    }),
    errors: ["not_found", "conflict", "invalid_policy", "query_too_expensive", "too_many_requests"],
    errorBodies: () => ({ conflict: policyConflictSchema, invalid_policy: policyErrorSchema }),
  },
  getAutocompleteInfo: {
    ...read,
    path: "/api/autocomplete_info",
    tag: "old",
    summary: "Suggestions for an editor of facts",
    responses: () => ({ 200: json("Lists of arguments by predicate, and the types of actors", suggestionsSchema) }),
    errors: ["query_too_expensive", "too_many_requests"],
  },
  validatePolicy: {
    ...check,
    path: "/api/validate",
    summary: "Check a policy without its tests, and store nothing",
    body: "validate",
    responses: () => ({ 200: json("The problems", validationSchema) }),
  },
  testPolicy: {
    ...check,
    path: "/api/test",
    summary: "Check a policy, run its tests, and store nothing",
    body: "test",
    responses: () => ({ 200: json("The problems, and the results of the tests", testReportSchema) }),
  },
  policyEffect: {
    ...check,
    path: "/api/policy_effect",
    summary: "What a policy would change: its tests, unused facts, and logged decisions; store nothing",
    description:
      "With `Accept: text/event-stream` the node sends `tests` and `unused_facts`, then `progress`, then `decisions`, each as an event with the member as its data. Closing the connection cancels the work.",
    body: "policyEffect",
    responses: () => ({
      200: {
        description: "The effect; `decisions` is `null` if the policy has errors or none were asked for",
        content: { "application/json": effectSchema, "text/event-stream": z.string() },
      },
    }),
  },
  policyQuestion: {
    ...check,
    path: "/api/policy_question",
    summary: "How a policy would answer a question of `authorize` on the stored facts, and why; store nothing",
    body: "policyQuestion",
    responses: () => ({ 200: json("The problems, and the decision with its reasons", questionSchema) }),
  },
  formatPolicy: {
    ...check,
    path: "/api/format",
    summary: "The canonical form of policy files; store nothing",
    body: "validate",
    responses: () => ({ 200: json("The text of each file, or its syntax errors", formatSchema) }),
  },
  explainRules: {
    ...check,
    path: "/api/explain_rules",
    summary: "The shorthand rules of a policy in longhand; store nothing",
    body: "validate",
    responses: () => ({
      200: json("Each shorthand rule as a rule outside of blocks, and the default rules", rulesSchema),
    }),
  },
});

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

const policyConflictSchema = z
  .strictObject({
    message: z.string(),
    code: z.literal("conflict"),
    active: z.int().meta({ description: "The number of the active version; 0 if there is none" }),
  })
  .meta({ id: "PolicyConflict" });

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

const modelName = z
  .strictObject({ type: z.string(), kind: z.enum(["role", "permission", "relation"]), name: z.string() })
  .meta({ id: "ModelName" });
const place = z.strictObject(position);

const modelSchema = z
  .strictObject({
    types: z.array(
      z.strictObject({
        name: z.string(),
        kind: z.enum(["actor", "resource", "global"]),
        supertypes: names,
        relations: z.array(z.strictObject({ name: z.string(), type: z.string() })),
        roles: names,
        permissions: names,
        place: place.nullable(),
      }),
    ),
    names: z.array(z.strictObject({ ...modelName.shape, place })),
    implications: z.array(
      z.strictObject({
        from: modelName.nullable(),
        to: modelName,
        through: z.string().nullable(),
        conditional: z.boolean().meta({ description: "Whether the rule has other conditions too" }),
        rule: z.string(),
        place,
      }),
    ),
  })
  .meta({ id: "PolicyModel" });

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

const questionSchema = z
  .strictObject({
    success: z.boolean(),
    problems: z.array(diagnosticSchema),
    explanation: explanationSchema.nullable().meta({ description: "As of `explain`; `null` if the policy has errors" }),
  })
  .meta({ id: "PolicyAnswer" });

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

const versionNumber = z
  .string()
  .regex(/^\d{1,15}$/, { error: "must be the number of a policy" })
  .transform(Number)
  .optional();

// The documentation of Oso Cloud has `id`, the SDKs send `version`.
const policyQuery = z.object({ id: versionNumber, version: versionNumber });

const modelQuery = z.object({ id: versionNumber });

// `show_suggestions` and `fail_fast` have no effect: the response always has all problems, with hints.
const uploadQuery = z.object({ force: flag, replaces: versionNumber, show_suggestions: flag, fail_fast: flag });

const rollbackQuery = z.object({ force: flag, replaces: versionNumber });

const historyQuery = z.object({ page_size: pageSize, page_token: versionNumber });
