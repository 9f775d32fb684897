/** Random facts with few different values, and questions about them. */
import fc from "fast-check";
import type { Query } from "../../src/engine/request/questions.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { allowQuery, type Check } from "../cases/case.ts";
import { entityTypes, permissionNames, predicates, roleNames, type Kind, type Predicate } from "./rules.ts";

const id = fc.constantFrom("1", "1", "2", "2", "3");
const entity: fc.Arbitrary<Value> = fc.record({ type: fc.constantFrom<string>("User", "A", "A", "B", "C"), id });
const resourceEntity: fc.Arbitrary<Value> = fc.record({
  type: fc.constantFrom<string>("A", "A", "A", "B", "B", "C"),
  id,
});
const user: fc.Arbitrary<Value> = fc.record({ type: fc.constantFrom("User", "User", "User", "User", "Bot"), id });
const text = (...words: string[]): fc.Arbitrary<Value> =>
  fc.record({ type: fc.constant("String"), id: fc.constantFrom(...words) });
const integer: fc.Arbitrary<Value> = fc.record({
  type: fc.constant("Integer"),
  id: fc.constantFrom("0", "1", "2", "-1"),
});
const role = text(...roleNames, ...roleNames, "x");

const factOf = (predicate: string, ...args: fc.Arbitrary<Value>[]): fc.Arbitrary<Fact> =>
  fc.tuple(...args).map((values) => ({ predicate, args: values }));

const commonFact = fc.oneof(
  { weight: 8, arbitrary: factOf("has_role", user, role, resourceEntity) },
  { weight: 1, arbitrary: factOf("has_role", entity, role, entity) },
  { weight: 8, arbitrary: factOf("has_relation", resourceEntity, text("up"), resourceEntity) },
  { weight: 3, arbitrary: factOf("has_relation", resourceEntity, text("own"), user) },
  { weight: 1, arbitrary: factOf("has_relation", entity, text("up", "own"), entity) },
  { weight: 1, arbitrary: factOf("has_role", user, text("g", "h")) },
  { weight: 3, arbitrary: factOf("flag", entity) },
  { weight: 3, arbitrary: factOf("link", user, resourceEntity) },
  { weight: 1, arbitrary: factOf("link", entity, entity) },
  { weight: 2, arbitrary: factOf("link", user, user) },
  { weight: 3, arbitrary: factOf("level", entity, integer) },
  { weight: 2, arbitrary: factOf("tag", entity, text("x", "r", "p")) },
  { weight: 1, arbitrary: factOf("near", entity, entity) },
);

/** Facts of predicates that mostly occur only in heads of rules. */
const headFact = fc.oneof(
  { weight: 2, arbitrary: factOf("has_permission", user, text(...permissionNames), entity) },
  { weight: 1, arbitrary: factOf("has_permission", user, text("gp")) },
  { weight: 2, arbitrary: factOf("allow", user, text(...permissionNames), entity) },
);

const contextFact = fc.oneof({ weight: 2, arbitrary: commonFact }, { weight: 1, arbitrary: headFact });

/** Many facts with few different values: with few facts, hardly anything would be true. */
const manyFacts = fc.noBias(fc.array(commonFact, { maxLength: 30, size: "max" }));
export const facts = fc
  .tuple(manyFacts, fc.oneof(fc.constant<Fact[]>([]), fc.array(headFact, { maxLength: 4 })))
  .map((lists) => lists.flat());
export const contextFacts = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Fact[]>([]) },
  { weight: 1, arbitrary: fc.array(contextFact, { minLength: 1, maxLength: 4 }) },
);

export type Asked =
  | { readonly kind: "authorize"; readonly check: Check }
  | { readonly kind: "list"; readonly actor: Value; readonly action: string; readonly type: string }
  | { readonly kind: "actions"; readonly actor: Value; readonly resource: Value }
  | { readonly kind: "query"; readonly query: Query };

const anyId = fc.constantFrom("1", "1", "1", "2", "2", "2", "3", "9");
const actor = fc.record({ type: fc.constantFrom("User", "User", "User", "User", "Bot", "A"), id: anyId });
const resource = fc.record({ type: fc.constantFrom<string>("A", "A", "A", "B", "B", "C", "User"), id: anyId });
const action = fc.constantFrom<string>("p", "p", "p", "q", "q", "r", "zap");

const range = {
  U: fc.record({
    type: fc.constantFrom<string>("User", "User", "User", "Bot", "A"),
    ids: fc.oneof(
      { weight: 2, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.uniqueArray(anyId, { minLength: 1, maxLength: 2 }) },
    ),
  }),
  E: fc.record({
    type: fc.constantFrom<string>("A", "A", "B", "C", "User"),
    ids: fc.oneof(
      { weight: 2, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.uniqueArray(anyId, { minLength: 1, maxLength: 2 }) },
    ),
  }),
  S: fc.record({
    type: fc.constant("String"),
    ids: fc.oneof(fc.constant(null), fc.constant(null), fc.constantFrom(["p"], ["r"], ["up"], ["x", "r"])),
  }),
  I: fc.record({ type: fc.constant("Integer"), ids: fc.oneof(fc.constant(null), fc.constantFrom(["1"], ["0", "7"])) }),
};

/** Calls share variables with the same name. */
const variablesOfKind: Record<Kind, readonly string[]> = {
  U: ["U1", "U1", "U2", "E1"],
  E: ["E1", "E1", "E2", "U1"],
  R: ["S1", "S2"],
  P: ["S1"],
  L: ["S2"],
  S: ["S1", "S2"],
  I: ["I1"],
};

const queryCall = fc
  .constantFrom<Predicate>(
    "allow",
    "allow",
    "has_permission",
    "has_role",
    "has_relation",
    "near",
    "link",
    "level",
    "flag",
    "tag",
  )
  .chain((predicate) =>
    fc
      .tuple(...predicates[predicate].map((kind) => fc.constantFrom(...variablesOfKind[kind])))
      .map((variables) => ({ predicate, variables })),
  );

const query: fc.Arbitrary<Query> = fc
  .record({
    calls: fc.array(queryCall, { minLength: 1, maxLength: 2 }),
    ranges: fc.record({ U1: range.U, U2: range.U, E1: range.E, E2: range.E, S1: range.S, S2: range.S, I1: range.I }),
  })
  .map(({ calls, ranges }) => {
    const used = new Set(calls.flatMap((one) => one.variables));
    const variables = new Map(Object.entries(ranges).filter(([name]) => used.has(name)));
    return { calls, variables, contextFacts: [] };
  });

const kinds = {
  authorize: fc.record({ kind: fc.constant("authorize" as const), check: fc.record({ actor, action, resource }) }),
  list: fc.record({
    kind: fc.constant("list" as const),
    actor,
    action,
    type: fc.constantFrom<string>(...entityTypes),
  }),
  actions: fc.record({ kind: fc.constant("actions" as const), actor, resource }),
  query: fc.record({ kind: fc.constant("query" as const), query }),
};

/** Questions of all kinds, with weights. */
export const askedBy = (weights: Readonly<Record<Asked["kind"], number>>): fc.Arbitrary<Asked> =>
  fc.oneof(
    { weight: weights.authorize, arbitrary: kinds.authorize },
    { weight: weights.list, arbitrary: kinds.list },
    { weight: weights.actions, arbitrary: kinds.actions },
    { weight: weights.query, arbitrary: kinds.query },
  );

export const asked = askedBy({ authorize: 5, list: 3, actions: 1, query: 3 });

/** The same question as a query. */
export function asQuery(question: Asked): Query {
  switch (question.kind) {
    case "authorize":
      return allowQuery(
        question.check.actor,
        question.check.action,
        { type: question.check.resource.type, ids: [question.check.resource.id] },
        [],
      );
    case "list":
      return allowQuery(question.actor, question.action, { type: question.type, ids: null }, []);
    case "actions":
      return allowQuery(question.actor, null, { type: question.resource.type, ids: [question.resource.id] }, []);
    case "query":
      return question.query;
  }
}
