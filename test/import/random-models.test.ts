/** Random models, relationships and conditions: the translated policy never allows what the model itself does not. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { nodeChecks } from "../../src/cli/import/relation-schemas.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { checkModel } from "../../src/import/model-check.ts";
import { PolarPolicy } from "../../src/import/polar-policy.ts";
import {
  type Context,
  directSubjects,
  type Expression,
  type Relation,
  type RelationModel,
  type Relationship,
  type SubjectType,
} from "../../src/import/relation-model.ts";
import { translate } from "../../src/import/translation.ts";
import { must } from "../../src/util/assert.ts";
import { openEngineInMemory } from "../cases/engine-target.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { decide } from "./reference-model.ts";

const now = 1000;
const place = { file: "random", line: 1 };

/** It holds for a limit from 5 on: that of the relationship, or of the question. */
const conditions = [
  {
    name: "some",
    parameters: [{ name: "limit", type: { name: "int" } }],
    expression: "limit >= 5",
    needsAll: true,
    place,
  },
];
/** No limit is 0. */
const limits = [0, 3, 7];

const types = ["user", "group", "folder", "doc"];
/** Names that are equal in Polar, or have a meaning there. */
const names = ["viewer", "view-er", "view_er", "allow"];
const objects = types.flatMap((type) => ["1", "2"].map((id) => ({ type, id })));

const subjectType = fc
  .record({
    kind: fc.constantFrom("object", "object", "everyone", "relation"),
    type: fc.constantFrom("user", "user", ...types),
    relation: fc.constantFrom(...names),
    condition: fc.constantFrom(undefined, "some"),
    expires: fc.constantFrom(false, false, false, true),
  })
  .map(({ kind, type, relation, condition, expires }): SubjectType => ({
    type,
    ...(kind === "everyone" ? { everyone: true } : {}),
    ...(kind === "relation" && type !== "user" ? { relation } : {}),
    ...(condition === undefined ? {} : { condition }),
    ...(expires ? { expires } : {}),
    place,
  }));
const direct = fc
  .array(subjectType, { minLength: 1, maxLength: 3 })
  .map((subjects): Expression => ({ kind: "direct", subjects }));

const expression = fc.letrec<{ all: Expression; leaf: Expression; joined: Expression; exclusion: Expression }>(
  (tie) => ({
    leaf: fc.oneof(
      fc.constantFrom(...names).map((relation): Expression => ({ kind: "computed", relation })),
      fc
        .tuple(fc.constantFrom(...names), fc.constantFrom(...names), fc.boolean())
        .map(([through, relation, all]): Expression => ({ kind: "arrow", through, relation, all })),
      fc.constantFrom<Expression>({ kind: "direct", subjects: [] }, { kind: "self" }, { kind: "nothing" }),
    ),
    joined: fc
      .tuple(
        fc.constantFrom("union" as const, "intersection" as const),
        fc.array(tie("all"), { minLength: 2, maxLength: 3 }),
      )
      .map(([kind, operands]): Expression => ({ kind, operands })),
    exclusion: fc
      .tuple(tie("all"), tie("all"))
      .map(([base, subtracted]): Expression => ({ kind: "exclusion", base, subtracted })),
    all: fc.oneof({ maxDepth: 3, depthSize: "small" }, tie("leaf"), tie("joined"), tie("exclusion"), tie("exclusion")),
  }),
).all;

/** All direct parts of an expression have the same subjects, as in OpenFGA. */
function withSubjects(part: Expression, subjects: Expression & { kind: "direct" }): Expression {
  if (part.kind === "direct") return subjects;
  if (part.kind === "exclusion")
    return { ...part, base: withSubjects(part.base, subjects), subtracted: withSubjects(part.subtracted, subjects) };
  return "operands" in part ? { ...part, operands: part.operands.map((each) => withSubjects(each, subjects)) } : part;
}

function relation(name: string, isDirect: boolean): fc.Arbitrary<Relation> {
  return fc.tuple(direct, expression).map(([subjects, written]) => ({
    name,
    place,
    expression: isDirect ? subjects : withSubjects(written, subjects as Expression & { kind: "direct" }),
  }));
}

const model = fc
  .tuple(
    ...types
      .slice(1)
      .map((name) =>
        fc
          .tuple(...names.map((each, index) => relation(each, index < 2)))
          .map((relations) => ({ name, place, relations })),
      ),
  )
  .map((others): RelationModel => ({ types: [{ name: "user", place, relations: [] }, ...others], conditions }))
  .filter(isValid);

const anyModel = fc.oneof(
  model,
  model.map((declared) => changed(declared, withoutCondition)),
  // Nothing of these lacks an equivalent, so that the translation has to allow as much as the model.
  model.map((declared) => changed(declared, (part) => withoutExclusion(withoutCondition(part)))).filter(isValid),
);

/** A model in which each part of each expression is replaced, the inner parts first. */
function changed(
  { types: declared, ...others }: RelationModel,
  change: (part: Expression) => Expression,
): RelationModel {
  const inside = (part: Expression): Expression =>
    change(
      part.kind === "exclusion"
        ? { ...part, base: inside(part.base), subtracted: inside(part.subtracted) }
        : "operands" in part
          ? { ...part, operands: part.operands.map(inside) }
          : part,
    );
  return {
    ...others,
    types: declared.map((type) => ({
      ...type,
      relations: type.relations.map((each) => ({ ...each, expression: inside(each.expression) })),
    })),
  };
}

function withoutExclusion(part: Expression): Expression {
  return part.kind === "exclusion" ? part.base : part;
}

function withoutCondition(part: Expression): Expression {
  return part.kind === "direct" ? { ...part, subjects: part.subjects.map(unconditional) } : part;
}

function unconditional(subject: SubjectType): SubjectType {
  const { condition, ...others } = subject;
  return condition === undefined ? subject : others;
}

function isValid(candidate: RelationModel): boolean {
  try {
    checkModel(candidate, { strictArrows: false });
    return true;
  } catch {
    return false;
  }
}

/** Each number chooses a relationship that the model admits. */
function relationshipOf({ types: declared }: RelationModel, seed: number): Relationship {
  const pick = <T>(from: readonly T[], step: number): T => must(from[Math.floor(seed / step) % from.length]);
  const type = pick(declared.slice(1), 1);
  const chosen = pick(
    type.relations.filter(({ expression: written }) => directSubjects(written).length > 0),
    3,
  );
  const by = pick(directSubjects(chosen.expression), 12);
  return {
    object: { type: type.name, id: pick(["1", "2"], 60) },
    relation: chosen.name,
    subject: {
      type: by.type,
      id: by.everyone ? "*" : pick(["1", "2"], 120),
      ...(by.relation === undefined ? {} : { relation: by.relation }),
    },
    ...(by.condition === undefined ? {} : { condition: by.condition, context: contextOf(pick(limits, 480)) }),
    ...(by.expires ? { end: pick([500, 2000], 240) } : {}),
    place,
  };
}

function contextOf(limit: number): Context {
  return limit === 0 ? {} : { limit };
}

// FUZZ_RUNS is the number of models.
test.each(seededRuns(20_252, 12))(
  "the translation allows no more than the model ($runs random models with the seed $seed)",
  ({ seed, runs, isKnown }) => {
    const seen = { decisions: 0, allowed: 0, exactModels: 0, tooLarge: 0 };
    fc.assert(
      fc.property(anyModel, fc.array(fc.nat(1_000_000), { minLength: 20, maxLength: 50 }), (declared, seeds) => {
        const all = new Map(
          seeds.map((seed) => {
            const one = relationshipOf(declared, seed);
            return [JSON.stringify([one.object, one.relation, one.subject]), one];
          }),
        );
        const relationships = [...all.values()];
        const source = {
          model: declared,
          conditionWord: "condition",
          relationships,
          tests: [],
          untranslated: [],
        } as const;
        const { policy, facts, untranslated } = translate(source, nodeChecks);
        const { diagnostics } = checkPolicy([{ name: "policy.polar", text: policy }], { runTests: false });
        // A node refuses it, and says which relation to split.
        if (diagnostics.some(({ code }) => code === "rule/too-many-conditions")) return void (seen.tooLarge += 1);
        // A model that repeats itself (`self & self`, `self + viewer` in `viewer`) gives equal or circular rules, and a relation without rules uses no direct subjects.
        const unused = untranslated.length > 0 ? ["block/role-never-granted"] : [];
        const circular = ["rule/self-implied", "rule/circular"];
        const expected = new Set(["rule/wide-negation", "rule/duplicate", ...circular, ...unused]);
        expect(diagnostics.filter(({ code }) => !expected.has(code))).toEqual([]);
        expect(nodeChecks.unused(policy, facts)).toEqual([]);
        if (untranslated.length === 0) seen.exactModels += 1;
        const polar = new PolarPolicy(declared);
        const asked = must(limits[must(seeds[0]) % limits.length]);
        // Without a limit, the conditions of relationships without one decide nothing: each could do either.
        const worlds = [
          () => false,
          () => true,
          ({ subject }: Relationship) => subject.id === "1",
          ({ object }: Relationship) => object.id === "1",
        ].map((unknown) =>
          decide({
            model: declared,
            relationships,
            objects,
            now,
            conditionHolds(one) {
              const limit = Number(one.context?.["limit"] ?? asked);
              return limit === 0 ? unknown(one) : limit >= 5;
            },
          }),
        );
        const isExact = untranslated.length === 0 && (asked !== 0 || !policy.includes("resource ConditionSome"));
        const contextFacts = polar.conditions.contextFacts(["some"], contextOf(asked));
        if (typeof contextFacts === "string") throw new Error(contextFacts);
        for (const strategy of ["statement", "evaluator"] as const) {
          using engine = openEngineInMemory({ policy, facts, contextFacts, now }, { strategy });
          for (const subject of objects)
            for (const object of objects)
              for (const { name } of must(declared.types.find(({ name: type }) => type === object.type)).relations) {
                const action = must(polar.action(subject.type, name, object.type));
                const [actor, resource] = [must(polar.value(subject)), must(polar.value(object))];
                const got = engine.authorize({ actor, action, resource });
                const holds = worlds.every((world) => world(subject, name, object));
                const text = `${subject.type}:${subject.id} ${name} ${object.type}:${object.id}\n${policy}`;
                seen.decisions += 1;
                if (got) seen.allowed += 1;
                if (got && !holds)
                  expect(`${text}\n${JSON.stringify(facts)}\n${JSON.stringify(relationships)}`).toBe("denied");
                if (!isExact) continue;
                if (got !== holds) expect(`${text}\n${JSON.stringify(facts)}`).toBe("allowed");
              }
        }
      }),
      { numRuns: runs, seed, endOnFailure: true, includeErrorInReport: true },
    );
    console.log(JSON.stringify(seen));
    expect(seen.decisions).toBeGreaterThanOrEqual(quota(runs, 180, isKnown));
    expect(seen.allowed).toBeGreaterThanOrEqual(Math.floor(runs / 4));
    expect(seen.exactModels).toBeGreaterThanOrEqual(quota(runs, 0.3, isKnown));
  },
  randomTestMs,
);
