/**
 * OpenFGA's conformance suite, which lies beside the project and is not copied into it. A test is a sequence of stages on one store: each
 * brings a model in place of the one before and tuples beside those that are there, and asks.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const path = join(import.meta.dirname, "../../../shared/suites/openfga/consolidated_1_1_tests.normalized.json");

export const hasSuite = existsSync(path);

/** What a relation is made of. */
export type Rewrite =
  | { readonly this: Record<never, never> }
  | { readonly computedUserset: Named }
  | { readonly tupleToUserset: { readonly tupleset: Named; readonly computedUserset: Named } }
  | { readonly union: { readonly child: readonly Rewrite[] } }
  | { readonly intersection: { readonly child: readonly Rewrite[] } }
  | { readonly difference: { readonly base: Rewrite; readonly subtract: Rewrite } };

interface Named {
  readonly relation: string;
}

const named = z.strictObject({ relation: z.string() });
const rewrite: z.ZodType<Rewrite> = z.lazy(() => {
  const several = z.strictObject({ child: z.array(rewrite).min(1) });
  return z.union([
    z.strictObject({ this: z.strictObject({}) }),
    z.strictObject({ computedUserset: named }),
    z.strictObject({ tupleToUserset: z.strictObject({ tupleset: named, computedUserset: named }) }),
    z.strictObject({ union: several }),
    z.strictObject({ intersection: several }),
    z.strictObject({ difference: z.strictObject({ base: rewrite, subtract: rewrite }) }),
  ]);
});

/** Whom tuples of a relation may name: objects of a type, all of them together (`user:*`), or usersets (`group#member`). */
const restriction = z.union([
  z.strictObject({ type: z.string() }),
  z.strictObject({ type: z.string(), wildcard: z.strictObject({}) }),
  z.strictObject({ type: z.string(), relation: z.string() }),
]);

const restrictions = z.looseObject({ directly_related_user_types: z.array(restriction).nullish() });
const definition = z.strictObject({
  type: z.string(),
  relations: z.record(z.string(), rewrite).nullish(),
  metadata: z.looseObject({ relations: z.record(z.string(), restrictions).nullish() }).nullish(),
});
const model = z.strictObject({ schema_version: z.literal("1.1"), type_definitions: z.array(definition) });
const tuple = z.strictObject({ object: z.string(), relation: z.string(), user: z.string() });
const contextualTuples = z.array(tuple).default([]);
const errorCode = z.number().optional();

const checkAssertion = z.strictObject({ tuple, contextualTuples, expectation: z.boolean().optional(), errorCode });
const listAssertion = z.strictObject({
  request: z.strictObject({ user: z.string(), type: z.string(), relation: z.string() }),
  contextualTuples,
  expectation: z.array(z.string()).nullish(),
  errorCode,
});

const stage = z.object({
  modelJson: model,
  tuples: z.array(tuple).default([]),
  checkAssertions: z.array(checkAssertion).default([]),
  listObjectsAssertions: z.array(listAssertion).default([]),
});
const suite = z.object({ tests: z.array(z.strictObject({ name: z.string(), stages: z.array(stage) })) });

export type Restriction = z.infer<typeof restriction>;
export type Definition = z.infer<typeof definition>;
export type Model = z.infer<typeof model>;
export type Tuple = z.infer<typeof tuple>;
export type SuiteStage = z.infer<typeof stage>;
export type SuiteTest = z.infer<typeof suite>["tests"][number];

export function readSuite(): readonly SuiteTest[] {
  return suite.parse(JSON.parse(readFileSync(path, "utf8"))).tests;
}
