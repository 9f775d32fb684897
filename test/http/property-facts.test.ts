/**
 * Facts of AuthZEN requests under random policies: those that the node leaves out change no decision, and each subject
 * that a search finds is allowed.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { FactUses } from "../../src/policy/fact-schema.ts";
import { pageOf } from "../../src/engine/request/packed-strings.ts";
import { type Evaluation, evaluationOf } from "../../src/http/request/authzen-schemas.ts";
import { factsOf } from "../../src/http/request/property-facts.ts";
import { requestParsers } from "../../src/http/request/request-schemas.ts";
import { AppError } from "../../src/util/app-error.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { fact, inserted, policy, storeWith } from "../engine/store.ts";

const names = ["a", "b", "a.b", "c"];
const name = fc.constantFrom('"a"', '"b"', '"a.b"', '"c"', "n", "m");
const held = fc.constantFrom('"x"', '"y"', "1", "2", "true", "v", "_");
const entity = fc.constantFrom("u", "r", '"go"', '"stop"', "o");
const property = fc.tuple(entity, name, held).map(([one, key, each]) => `has_property(${one}, ${key}, ${each})`);
const context = fc.tuple(name, held).map(([key, each]) => `has_context(${key}, ${each})`);
const other = fc.constantFrom(
  "stored(r, n)",
  'n in ["a", "c"]',
  "n = m",
  'm = "a.b"',
  "o matches D",
  "o matches U",
  "derived(r, n)",
  "v > 1",
);
const flat = fc.oneof(
  { weight: 4, arbitrary: property },
  { weight: 2, arbitrary: context },
  { weight: 3, arbitrary: other },
);
const nested = fc.array(flat, { minLength: 1, maxLength: 2 }).map((all) => `not (${all.join(" and ")})`);
const body = fc
  .array(fc.oneof({ weight: 3, arbitrary: flat }, { weight: 1, arbitrary: nested }), { minLength: 1, maxLength: 3 })
  .map((all) => all.join(" and "));
const rule = fc
  .tuple(
    fc.constantFrom(
      'has_permission(u: U, "go", r: D)',
      "has_permission(u: U, act: String, r: D)",
      "allow(u: U, _: String, r: D)",
      "derived(r: D, n: String)",
      'has_property(r: D, "b", v: String)',
    ),
    fc.option(body, { freq: 9 }),
  )
  .map(([head, conditions]) => (conditions === null ? "" : `${head} if base(u, r) and ${conditions};`))
  .map((text) =>
    text.startsWith("derived") || text.startsWith("has_property") ? text.replace("base(u, r) and ", "") : text,
  );
const source = fc.array(rule, { minLength: 1, maxLength: 4 }).map(
  (rules) => `actor U {} resource D { permissions = ["go", "stop"]; }
    declare base(U, D); declare stored(D, String);
    ${rules.join("\n")}`,
);

const scalar = fc.constantFrom("x", "y", 1, 2, true, false, null, "");
const properties = fc.dictionary(
  fc.constantFrom("a", "b", "c", "d"),
  fc.oneof(scalar, fc.array(scalar, { maxLength: 2 }), fc.record({ b: scalar })),
  { maxKeys: 3 },
);
const request = fc.record({
  subject: fc.record({ type: fc.constantFrom("U", "Ghost"), id: fc.constantFrom("1", "2"), properties }),
  action: fc.record({ name: fc.constantFrom("go", "stop", "x"), properties }),
  resource: fc.record({ type: fc.constantFrom("D", "Ghost"), id: fc.constantFrom("1", "2"), properties }),
  context: properties,
});

const facts = [
  ...["1", "2"].flatMap((user) => ["1", "2"].map((id) => fact("base", `U:${user}`, `D:${id}`))),
  ...names.slice(1).map((each) => fact("stored", "D:1", `String:${each}`)),
];
const everything: FactUses = { stamp: undefined, has: () => true };

// FUZZ_RUNS is the number of policies.
test.each(seededRuns(20_261, 60))(
  "$runs policies with the seed $seed decide the same with all facts of a request, and with those that they use",
  ({ seed, runs, isKnown }) => {
    const counts = { refused: 0, allowed: 0, denied: 0, leftOut: 0, kept: 0, listed: 0 };
    const parse = requestParsers(defaultLimits).evaluation;
    const compared = fc.property(source, fc.array(request, { minLength: 4, maxLength: 8 }), (src, requests) => {
      const { active } = checkPolicy([{ name: "p.polar", text: src }], { runTests: false, coverage: false });
      if (active === undefined) return void counts.refused++;
      const store = storeWith(policy(src), inserted(...facts));
      const engine = new Engine(store);
      for (const body of requests) check(engine, parse(body), counts);
      engine.close();
    });
    fc.assert(compared, { numRuns: runs, seed });
    console.log(JSON.stringify(counts));
    expect(counts.refused).toBeLessThanOrEqual(Math.ceil(runs * 0.7));
    expect(Math.min(counts.allowed, counts.denied, counts.leftOut, counts.kept, counts.listed)).toBeGreaterThanOrEqual(
      quota(runs, 0.1, isKnown),
    );
  },
  randomTestMs,
);

function check(engine: Engine, evaluation: Evaluation, counts: Record<string, number>): void {
  const { subject, action, resource } = evaluation;
  const [all, used] = [everything, engine.factUses()].map((uses) => factsOf(evaluation, uses, defaultLimits));
  const question = {
    actor: { type: subject.type, id: subject.id },
    action: action.name,
    resource: { type: resource.type, id: resource.id },
  };
  const allowed = engine.authorize({ ...question, contextFacts: used ?? [] });
  expect(engine.authorize({ ...question, contextFacts: all ?? [] })).toBe(allowed);
  const count = (name: string, by = 1) => (counts[name] = (counts[name] ?? 0) + by);
  count(allowed ? "allowed" : "denied");
  count("kept", used?.length);
  count("leftOut", (all?.length ?? 0) - (used?.length ?? 0));
  // A search knows no properties of the subjects.
  const { subject: _, ...others } = evaluation;
  const contextFacts = factsOf(others, engine.factUses(), defaultLimits);
  try {
    const { ids } = engine.actorListing({
      actorType: subject.type,
      action: action.name,
      resource: question.resource,
      contextFacts,
    });
    const found = pageOf(ids, 0, 1000).ids;
    count("listed", found.length);
    for (const id of ["1", "2", "3"])
      expect(engine.authorize({ ...question, actor: { type: subject.type, id }, contextFacts })).toBe(
        found.includes(id) || found.includes("*"),
      );
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "query_not_enumerable") throw error;
  }
}

test("attributes that many evaluations inherit are read once, also if one of them is refused", () => {
  const properties = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`n${index}`, "x"]));
  const { evaluations } = requestParsers(defaultLimits);
  const { defaults, items } = evaluations({
    subject: { type: "U", id: "1", properties },
    action: { name: "go" },
    resource: { type: "D", id: "1", properties: { ...properties, refused: 1.5 } },
    context: properties,
    evaluations: Array.from({ length: 1000 }, () => ({})),
  });
  let asked = 0;
  const uses: FactUses = {
    stamp: 1,
    has(_predicate, _types, _position, name) {
      asked += 1;
      return name === "n1" || name === "refused";
    },
  };
  const message = "`resource.properties.refused` in the body must be a whole number of at most 15 digits, or a text";
  for (const item of items ?? []) {
    if (typeof item === "string") throw new Error(item);
    const evaluation = evaluationOf(item, defaults);
    expect(() => factsOf(evaluation, uses, defaultLimits)).toThrow(message);
    const subject = factsOf({ subject: evaluation.subject, context: evaluation.context }, uses, defaultLimits);
    expect(subject).toHaveLength(2);
  }
  expect(asked).toBe(3001);
  expect(
    factsOf({ subject: defaults.subject as never, context: [] }, { ...uses, stamp: 2 }, defaultLimits),
  ).toHaveLength(1);
  expect(asked).toBe(4001);
});
