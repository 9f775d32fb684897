/** What the node answers about a policy. */
import type { policyEndpoints } from "../../../features/policy/endpoints.ts";
import type { Answer } from "../api/answer.ts";

export type Validation = Answer<typeof policyEndpoints.validatePolicy>;
export type TestReport = Answer<typeof policyEndpoints.testPolicy>;
export type Failure = TestReport["failures"][number];
export type RuleCount = NonNullable<TestReport["coverage"]>["counts"][number];
export type FormatReport = Answer<typeof policyEndpoints.formatPolicy>;
export type RulesReport = Answer<typeof policyEndpoints.explainRules>;
export type PolicyAnswer = Answer<typeof policyEndpoints.policyQuestion>;
export type PolicyVersion = Answer<typeof policyEndpoints.getPolicyHistory>["versions"][number];

type Effect = Answer<typeof policyEndpoints.policyEffect>;
export type Replay = Exclude<NonNullable<Effect["decisions"]>, { readonly omitted: string }>;
export type ChangedDecision = Replay["changed"][number];
export type UnusedFacts = Effect["unused_facts"][number];
