/**
 * OpenFGA's conformance suite, which is beside the project and not a part of it. A test is a sequence of stages on one
 * store: each replaces the model, adds tuples, and asks questions.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const path = join(import.meta.dirname, "../../../../shared/suites/openfga/consolidated_1_1_tests.normalized.json");

export const hasSuite = existsSync(path);

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
  modelJson: z.unknown(),
  tuples: z.array(tuple).default([]),
  checkAssertions: z.array(checkAssertion).default([]),
  listObjectsAssertions: z.array(listAssertion).default([]),
});
const suite = z.object({ tests: z.array(z.strictObject({ name: z.string(), stages: z.array(stage) })) });

export type Tuple = z.infer<typeof tuple>;
export type SuiteStage = z.infer<typeof stage>;
export type SuiteTest = z.infer<typeof suite>["tests"][number];

export function readSuite(): readonly SuiteTest[] {
  return suite.parse(JSON.parse(readFileSync(path, "utf8"))).tests;
}
