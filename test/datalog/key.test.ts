/** Canonical keys of terms: two terms have the same key exactly if they are equal. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isDeepStrictEqual } from "node:util";
import type { ArgumentPattern } from "../../src/datalog/ir/argument-index.ts";
import type { ClosureStep } from "../../src/datalog/ir/closure.ts";
import type { FlatArgument, FlatAtom, FlatClause, FlatCondition, FlatTerm } from "../../src/datalog/ir/flat.ts";
import {
  argumentPatternKey,
  closureStepKey,
  constantKey,
  flatArgumentKey,
  flatAtomKey,
  flatClauseKey,
  flatConditionKey,
  listKey,
  nodeArgumentKey,
  numberKey,
  programLiteralKey,
  programTermKey,
  relationKey,
  selectKey,
  stringKey,
  typeKey,
  typeListKey,
  typeSetKey,
} from "../../src/datalog/ir/key.ts";
import type { Constant, ProgramLiteral, ProgramTerm } from "../../src/datalog/ir/program.ts";
import type { Relation, Select } from "../../src/datalog/ir/select.ts";
import type { NodeArgument, PredicateNode } from "../../src/datalog/ir/specialised.ts";
import { seededRuns } from "../seeds.ts";

// Few strings, so that terms are often equal; some contain the characters that keys are made of.
const string = fc.constantFrom("", "a", "b", "ab", "1", "1:a", "a)", "[", "-", "#0;", "User", ",", '"', "null");
const number = fc.constantFrom(0, 1, 2, 10, 12);
const type = fc.option(string, { nil: undefined });
const operator = fc.constantFrom("<", "<=", ">", ">=", "!=");
const few = { maxLength: 3 };
const typeSet = fc.uniqueArray(string, few).map((types): ReadonlySet<string> => new Set(types));

const constant: fc.Arbitrary<Constant> = fc.record({ type: string, id: string });
const pattern: fc.Arbitrary<ArgumentPattern> = fc.record({
  types: fc.option(typeSet, { nil: undefined }),
  id: fc.option(string, { nil: undefined }),
});
const now = fc.constant({ kind: "now" as const });
const constantTerm = fc.record({ kind: fc.constant("const"), value: constant });

const programTerm: fc.Arbitrary<ProgramTerm> = fc.oneof(
  fc.record({ kind: fc.constant("var"), index: number }),
  constantTerm,
  now,
);
const { programLiteral } = fc.letrec<{ programLiteral: ProgramLiteral }>((tie) => ({
  programLiteral: fc.oneof(
    { maxDepth: 2, depthSize: "small" },
    fc.record({ kind: fc.constant("call"), predicate: string, args: fc.array(programTerm, few) }),
    fc.record({ kind: fc.constant("equal"), left: programTerm, right: programTerm }),
    fc.record({ kind: fc.constant("compare"), operator, left: programTerm, right: programTerm }),
    fc.record({ kind: fc.constant("type"), term: programTerm, types: typeSet }),
    fc.record({ kind: fc.constant("not"), body: fc.array(tie("programLiteral"), few) }),
  ),
}));

const nodeArgument: fc.Arbitrary<NodeArgument> = fc.oneof(constantTerm, fc.record({ kind: fc.constant("open"), type }));
const closureStep: fc.Arbitrary<ClosureStep> = fc.record({
  atoms: fc.array(
    fc.record({
      predicate: string,
      args: fc.array(fc.oneof(fc.record({ kind: fc.constant("var"), index: number }), constantTerm), few),
    }),
    few,
  ),
  types: fc.array(type, few),
});

const flatTerm: fc.Arbitrary<FlatTerm> = fc.oneof(
  fc.record({ kind: fc.constant("var"), id: number, type }),
  constantTerm,
  fc.record({ kind: fc.constant("param"), name: string, type }),
  now,
  fc.record({ kind: fc.constant("fresh"), type }),
);
const flatArgument: fc.Arbitrary<FlatArgument> = fc.oneof(
  { weight: 4, arbitrary: flatTerm },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("oneOf"), values: fc.array(constant, few) }) },
);
const nodes = [0, 1, 12].map((id): PredicateNode => ({
  id,
  predicate: "p/1",
  args: [],
  clauses: [],
  copies: new Set(),
  component: 0,
  recursive: true,
  productive: true,
}));
const flatAtom: fc.Arbitrary<FlatAtom> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("fact", "context"),
    predicate: string,
    args: fc.array(flatArgument, few),
  }),
  fc.record({ kind: fc.constant("recursive"), node: fc.constantFrom(...nodes), args: fc.array(flatTerm, few) }),
  fc.record({ kind: fc.constant("ids"), param: string, args: fc.array(flatTerm, few) }),
);
const flatCondition: fc.Arbitrary<FlatCondition> = fc.oneof(
  fc.record({ kind: fc.constant("equal"), left: flatTerm, right: flatTerm }),
  fc.record({ kind: fc.constant("compare"), operator, left: flatTerm, right: flatTerm }),
  fc.record({ kind: fc.constant("type"), term: flatTerm, types: fc.array(string, few) }),
);
const { flatClause } = fc.letrec<{ flatClause: FlatClause }>((tie) => ({
  flatClause: fc.record({
    head: fc.array(flatTerm, { maxLength: 2 }),
    atoms: fc.array(flatAtom, { maxLength: 2 }),
    conditions: fc.array(flatCondition, { maxLength: 2 }),
    negations: fc.oneof(
      { maxDepth: 1 },
      fc.constant([]),
      fc.array(fc.array(tie("flatClause"), { maxLength: 2 }), { maxLength: 2 }),
    ),
  }),
}));

const relation: fc.Arbitrary<Relation> = fc.record(
  {
    table: fc.oneof(
      fc.record({ kind: fc.constantFrom("fact", "context"), predicate: string }),
      fc.record({ kind: fc.constant("ids"), param: string }),
      fc.record({ kind: fc.constant("named"), name: string }),
      fc.record({ kind: fc.constant("tagged"), name: string, tag: number, columns: fc.array(number, few) }),
    ),
    args: fc.array(flatArgument, few),
    computed: fc.constant(false),
    isReflexive: fc.constant(true),
  },
  { requiredKeys: ["table", "args", "computed"] },
);
const { select } = fc.letrec<{ select: Select }>((tie) => ({
  select: fc.record({
    head: fc.array(flatTerm, { maxLength: 2 }),
    relations: fc.array(relation, { maxLength: 2 }),
    conditions: fc.array(flatCondition, { maxLength: 2 }),
    negations: fc.oneof(
      { maxDepth: 1 },
      fc.constant([]),
      fc.array(fc.array(tie("select"), { maxLength: 2 }), { maxLength: 2 }),
    ),
  }),
}));

/** Terms that are equal are rare among random pairs, so half of the pairs are a term and its copy. */
function injective<T>(name: string, terms: fc.Arbitrary<T>, keyOf: (term: T) => string): void {
  test.each(seededRuns(20_251, 2000))(`${name}, with seed $seed`, ({ seed, runs }) => {
    const pairs = fc.oneof(
      fc.tuple(terms, terms),
      terms.map((term): [T, T] => [term, structuredClone(term)]),
      terms.chain((term) => fc.tuple(fc.constant(term), mutated(term, terms))),
    );
    const termOfKey = new Map<string, T>();
    fc.assert(
      fc.property(pairs, ([one, other]) => {
        const key = keyOf(one);
        expect(key === keyOf(other)).toBe(isDeepStrictEqual(plain(one), plain(other)));
        // Two different terms with one key are rare, so each is compared with all before.
        const before = termOfKey.get(key);
        if (before === undefined) termOfKey.set(key, one);
        else expect(isDeepStrictEqual(plain(one), plain(before))).toBe(true);
      }),
      { numRuns: runs, seed },
    );
  });
}

/** Without the missing prototypes of random records. */
function plain<T>(term: T): T {
  return structuredClone(term);
}

/** The term with one of its members from another term: a difference in one place alone. */
function mutated<T>(term: T, terms: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return terms.map((other) => {
    if (typeof term !== "object" || typeof other !== "object" || term === null || other === null) return other;
    if (Array.isArray(term) && Array.isArray(other)) return [...term.slice(0, -1), ...other.slice(-1)] as T;
    if (!("kind" in term) || !("kind" in other) || term.kind !== other.kind) return other;
    const [member] = Object.keys(other).filter((key) => key !== "kind");
    return member === undefined ? other : { ...term, [member]: other[member as keyof typeof other] };
  });
}

describe("equal keys, equal terms:", () => {
  injective("strings", string, stringKey);
  injective("numbers", number, numberKey);
  injective("lists of strings", fc.array(string, few), (list) => listKey(list.map(stringKey)));
  injective("lists of lists", fc.array(fc.array(string, few), few), (lists) =>
    listKey(lists.map((list) => listKey(list.map(stringKey)))),
  );
  injective("types", type, typeKey);
  injective("lists of types", fc.array(type, few), typeListKey);
  injective("sets of types", fc.option(typeSet, { nil: undefined }), typeSetKey);
  injective("constants", constant, constantKey);
  injective("patterns of arguments", pattern, argumentPatternKey);
  injective("program terms", programTerm, programTermKey);
  injective("program literals", programLiteral, programLiteralKey);
  injective("arguments of nodes", nodeArgument, nodeArgumentKey);
  injective("steps of closures", closureStep, closureStepKey);
  injective("flat arguments", flatArgument, flatArgumentKey);
  injective("flat atoms", flatAtom, flatAtomKey);
  injective("flat conditions", flatCondition, flatConditionKey);
  injective("flat clauses", flatClause, flatClauseKey);
  injective("relations", relation, relationKey);
  injective("selects", select, selectKey);
});

test("the order of members and of a set's elements does not matter", () => {
  expect(constantKey({ id: "1", type: "User" })).toBe(constantKey({ type: "User", id: "1" }));
  expect(typeSetKey(new Set(["A", "B"]))).toBe(typeSetKey(new Set(["B", "A"])));
});

test("a missing type differs from every name, and an optional member from its absence", () => {
  expect(typeListKey([undefined])).not.toBe(typeListKey(["-"]));
  expect(typeListKey([undefined])).not.toBe(typeListKey(["null"]));
  expect(typeSetKey(undefined)).not.toBe(typeSetKey(new Set()));
});
