/** Problems of policies, and failures of their tests, as several operations answer them. */
import { z } from "zod";

export const position = { file: z.string(), line: z.int(), column: z.int() };

const range = { ...position, endLine: z.int(), endColumn: z.int() };

const fixSchema = z
  .strictObject({ title: z.string(), edits: z.array(z.strictObject({ ...range, text: z.string() })) })
  .meta({
    id: "Fix",
    description: "A change of the policy that mends the problem: each range is replaced by its text",
  });

const diagnostic = {
  ...range,
  code: z.string().meta({ description: "Stable, such as `block/undeclared-name`" }),
  severity: z.enum(["error", "warning"]),
  message: z.string(),
  hint: z.string().optional(),
  fixes: z.array(fixSchema).optional(),
  notes: z.array(z.string()).optional(),
  related: z.array(z.strictObject({ ...position, message: z.string() })).optional(),
};
export const diagnosticSchema = z.strictObject(diagnostic).meta({ id: "Diagnostic" });
export const failureSchema = z.strictObject({ ...diagnostic, test: z.string() }).meta({ id: "TestFailure" });

export const testErrors = z.array(
  z.strictObject({ error_type: z.enum(["ValidationFailed", "AssertionFailed", "ServerError"]), message: z.string() }),
);
export const testCounts = z.array(z.strictObject({ name: z.string(), passed: z.int(), total: z.int() }));

export const policyErrorSchema = z
  .strictObject({
    error_type: z.enum(["Validation", "TestsFailed"]),
    message: z.string(),
    code: z.literal("invalid_policy"),
    errors: testErrors.optional(),
    test_results: z.strictObject({ success: z.literal(false), errors: testErrors, tests: testCounts }).optional(),
    diagnostics: z.array(z.union([diagnosticSchema, failureSchema])),
  })
  .meta({ id: "PolicyError" });
