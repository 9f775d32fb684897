/**
 * The fast path of `POST /api/authorize` is equivalent to the schema: it never accepts another body, and never gives
 * another question.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { requestParsers, simpleAuthorizeQuestion } from "../../src/http/request/request-schemas.ts";
import { AppError } from "../../src/util/app-error.ts";
import { seededRuns } from "../seeds.ts";

const limits = { ...defaultLimits, identifierBytesMax: 8 };
const parseAuthorize = requestParsers(limits).authorize;

const name = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("User", "ann", "read", "a", "äöü", "12345678", "__proto__", " ") },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 9 }) },
  { weight: 1, arbitrary: fc.constantFrom("", "123456789", "ääääx", "\u{1f600}\u{1f600}x", "\ud800") },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) },
);
const value = fc.record({ type: name, id: name });
const contextFacts = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(undefined, [], null) },
  { weight: 1, arbitrary: fc.array(fc.record({ predicate: name, args: fc.array(value, { maxLength: 3 }) })) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
);
const body = fc.record(
  {
    actor_type: name,
    actor_id: name,
    action: name,
    resource_type: name,
    resource_id: name,
    context_facts: contextFacts,
    other: fc.jsonValue({ maxDepth: 1 }),
  },
  { requiredKeys: [] },
);
const completeBody = fc.record({
  actor_type: name,
  actor_id: name,
  action: name,
  resource_type: name,
  resource_id: name,
  context_facts: contextFacts,
});
const anyBody = fc.oneof(
  { weight: 6, arbitrary: completeBody },
  { weight: 2, arbitrary: body },
  { weight: 1, arbitrary: fc.jsonValue() },
);

/** As it arrives: what JSON can't express, such as `undefined`, is not there. */
function received(given: unknown): unknown {
  const json = JSON.stringify(given);
  return json === undefined ? null : JSON.parse(json);
}

function bySchema(given: unknown): ReturnType<typeof parseAuthorize> | undefined {
  try {
    return parseAuthorize(given);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    return undefined;
  }
}

describe("the fast path of authorize", () => {
  test("gives the question that the schema gives, or leaves the body to the schema", () => {
    const counts = { fast: 0, schema: 0, invalid: 0 };
    for (const { seed, runs } of seededRuns(1, 5000))
      fc.assert(
        fc.property(anyBody, (given) => {
          const json = received(given);
          const fast = simpleAuthorizeQuestion(json, "text", limits);
          const question = bySchema(json);
          if (fast !== undefined) expect<object>({ ...question, text: "text" }).toEqual(fast);
          // The fast path leaves a valid body to the schema only because of its context facts.
          else if (question !== undefined)
            expect((json as { context_facts: unknown }).context_facts ?? [0]).not.toEqual([]);
          counts[fast !== undefined ? "fast" : question !== undefined ? "schema" : "invalid"]++;
        }),
        { numRuns: runs, seed },
      );
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(50);
  });
});
