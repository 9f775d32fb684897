/**
 * Random policies about answers that no list can have: global roles and wildcards give a permission on everything, and
 * negations, comparisons and equalities except some values. Facts decide whether such a rule holds for a question.
 */
import fc from "fast-check";
import type { Query } from "../../src/engine/request/questions.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { allowQuery } from "../cases/case.ts";
import type { Sample } from "./differential.ts";
import type { Asked } from "./questions.ts";

const globalRules = ['"auditor" if "admin"'];

const folderRules = ['"reader" if "reader" on "parent"', '"reader" if "owner"', '"reader" if global "auditor"'];

const docRules = [
  '"read" if "reader"',
  '"edit" if "owner"',
  '"read" if "edit"',
  '"reader" if "owner"',
  '"reader" if "reader" on "folder"',
  '"owner" if "owner" on "folder"',
  '"read" if global "admin"',
  '"edit" if global "auditor"',
  '"owner" if global "admin"',
  'role if global "admin"',
  '"read" if public(resource)',
];

/** Rules that give a permission or a role on many or all values. */
const sources = [
  'has_permission(_: User, "read", d: Doc) if public(d);',
  'has_permission(u: User, "read", _: Doc) if trusted(u);',
  'has_permission(u: User, a: String, _: Doc) if has_role(u, "admin") and granted(a);',
  "has_permission(u: User, _: String, d: Doc) if owns(u, d);",
  'has_permission(u: User, "edit", d: Doc) if has_role(u, "auditor") and not archived(d);',
  'has_permission(u: User, "edit", d: Doc) if has_role(u, "reader", d) and not archived(d);',
  'has_permission(u: User, "see", u: User);',
  'has_permission(u: User, "see", v: User) if near(u, v);',
  'has_permission(u: User, "see", v: User) if near(u, v) and not banned(v);',
  'has_permission(u: User, "see", v: User) if trusted(u) and u != v;',
  'has_permission(u: User, "see", _: User) if not banned(u);',
  'has_permission(u: User, "read", d: Doc) if not banned(u) and not archived(d);',
  'has_permission(u: User, "read", d: Doc) if owns(u, d) and not archived(d);',
  'has_permission(u: User, "edit", d: Doc) if trusted(u) and d != Doc{"1"};',
  'has_permission(u: User, "edit", d: Doc) if trusted(u) and not d = Doc{"2"};',
  'has_permission(u: User, "edit", d: Doc) if v matches User and near(u, v) and has_permission(v, "edit", d);',
  'has_role(u: User, "reader", d: Doc) if has_role(u, "auditor") and not within(d, Doc{"1"});',
  'has_role(u: User, "reader", d: Doc) if s matches Label and cleared(u, s) and has_label(d, s);',
  'has_role(u: User, "admin") if trusted(u) and not banned(u);',
  "public(_: Doc);",
  'public(d: Doc) if not archived(d) and has_role(User{"1"}, "admin");',
  "near(u: User, u: User);",
  "near(u: User, v: User) if near(v, u);",
  "near(u: User, w: User) if v matches User and near(u, v) and near(v, w);",
  "within(d: Doc, d: Doc);",
  "within(d: Doc, f: Doc) if e matches Doc and inside(d, e) and within(e, f);",
  "cleared(_: User, s: Label) if minor(s);",
  'cleared(u: User, _: Label) if has_role(u, "admin");',
  "hidden(u: User, d: Doc) if s matches Label and has_label(d, s) and not cleared(u, s);",
  "hidden(u: User, d: Doc) if not trusted(u) and archived(d);",
];

/** Restrictions of an answer, as conditions about the user `u`, the action `a` and the document `d`. */
const restrictions = [
  "not archived(d)",
  "not banned(u)",
  "not granted(a)",
  "not hidden(u, d)",
  "not (archived(d) and not trusted(u))",
  "not (archived(d) and banned(u))",
  "not (s matches Label and has_label(d, s) and not cleared(u, s))",
  "not (s matches Label and has_label(d, s) and not minor(s))",
  "not (e matches Doc and inside(d, e) and archived(e))",
  'not within(d, Doc{"2"})',
  "not (e matches Doc and within(d, e) and archived(e))",
  'd != Doc{"1"}',
  'a != "edit"',
  'not has_role(u, "admin")',
  "not owns(u, d)",
  "trusted(u)",
  "public(d)",
];

const heads = [
  "allow(u: User, a: String, d: Doc) if has_permission(u, a, d)",
  'allow(u: User, "read", d: Doc) if has_permission(u, "read", d)',
  "allow(u, a, d) if has_permission(u, a, d)",
  'allow(u: User, a: String, d: Doc) if has_role(u, "reader", d) and granted(a)',
];

const allow = fc
  .tuple(fc.constantFrom(...heads), fc.subarray(restrictions, { minLength: 0, maxLength: 2 }))
  .map(([head, conditions]) => `${[head, ...conditions].join(" and ")};`);

const openPolicy: fc.Arbitrary<string> = fc
  .record({
    global: fc.subarray(globalRules),
    folder: fc.subarray(folderRules),
    doc: fc.subarray(docRules, { minLength: 3, maxLength: 8 }),
    rules: fc.subarray(sources, { minLength: 1, maxLength: 8 }),
    allows: fc.oneof(
      { weight: 1, arbitrary: fc.constant([]) },
      { weight: 5, arbitrary: fc.array(allow, { minLength: 1, maxLength: 2 }) },
    ),
  })
  .map(({ global, folder, doc, rules, allows }) =>
    [
      "actor User {}",
      `global { roles = ["admin", "auditor"]; ${global.map((line) => `${line}; `).join("")}}`,
      `resource Folder { roles = ["reader", "owner"]; relations = { parent: Folder };`,
      ...folder.map((line) => `  ${line};`),
      "}",
      `resource Doc { roles = ["reader", "owner"]; permissions = ["read", "edit"]; relations = { folder: Folder };`,
      ...doc.map((line) => `  ${line};`),
      "}",
      ...rules,
      ...allows,
    ].join("\n"),
  );

const of = (type: string, ...ids: string[]): fc.Arbitrary<Value> => fc.constantFrom(...ids).map((id) => ({ type, id }));
const user = of("User", "1", "1", "2");
const doc = of("Doc", "1", "2", "3");
const folder = of("Folder", "1", "2");
const label = of("Label", "1", "2");
const text = (...ids: string[]): fc.Arbitrary<Value> => of("String", ...ids);

const factOf = (weight: number, predicate: string, ...args: fc.Arbitrary<Value>[]) => ({
  weight,
  arbitrary: fc.tuple(...args).map((values): Fact => ({ predicate, args: values })),
});

const fact: fc.Arbitrary<Fact> = fc.oneof(
  factOf(3, "has_role", user, text("admin", "admin", "auditor")),
  factOf(4, "has_role", user, text("reader", "owner"), doc),
  factOf(2, "has_role", user, text("reader", "owner"), folder),
  factOf(2, "has_relation", doc, text("folder"), folder),
  factOf(1, "has_relation", folder, text("parent"), folder),
  factOf(3, "archived", doc),
  factOf(2, "banned", user),
  factOf(2, "trusted", user),
  factOf(1, "public", doc),
  factOf(1, "owns", user, doc),
  factOf(1, "granted", text("read", "edit")),
  factOf(1, "near", user, user),
  factOf(1, "inside", doc, doc),
  factOf(2, "has_label", doc, label),
  factOf(1, "cleared", user, label),
  factOf(1, "minor", label),
  // Facts of predicates that rules derive. Of some, only heads have the types.
  factOf(2, "has_permission", user, text("read", "edit"), doc),
  factOf(1, "has_permission", user, text("see"), user),
  factOf(1, "allow", user, text("read", "edit"), doc),
  factOf(1, "hidden", user, doc),
  factOf(1, "within", doc, doc),
);

const openFacts: fc.Arbitrary<Fact[]> = fc.noBias(fc.array(fact, { minLength: 3, maxLength: 18, size: "max" }));

/** Facts that only the request has. */
const openContext: fc.Arbitrary<Fact[]> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Fact[]>([]) },
  {
    weight: 1,
    arbitrary: fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fact },
        factOf(1, "has_permission", user, text("read"), of("Doc", "1", "8")),
        factOf(1, "archived", of("Doc", "8")),
      ),
      { minLength: 1, maxLength: 2 },
    ),
  },
);

type Range = { readonly type: string; readonly ids: readonly string[] | null };

const action = fc.constantFrom("read", "read", "read", "read", "edit", "edit", "zap");
const given = (value: Value): Range => ({ type: value.type, ids: [value.id] });

/** Lists of all kinds: resources, actions, users who can, pairs, and conjunctions. */
const openQuestion: fc.Arbitrary<Asked> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("list" as const),
      actor: of("User", "1", "1", "2", "9"),
      action,
      type: fc.constant("Doc"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("list" as const),
      actor: of("User", "1", "1", "2", "9"),
      action: fc.constant("see"),
      type: fc.constant("User"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("actions" as const),
      actor: of("User", "1", "2"),
      resource: of("Doc", "1", "9"),
    }),
  },
  {
    weight: 5,
    arbitrary: fc
      .oneof(
        fc.tuple(action, doc).map(([name, on]): Query => whoCan(name, given(on))),
        action.map((name): Query => whoCan(name, { type: "Doc", ids: null })),
        action.map((name): Query => whoCan(name, { type: "Doc", ids: ["1", "3"] })),
        fc.constant(whoCan("see", { type: "User", ids: null })),
        doc.map((on) => allowQuery({ type: "User", id: "1" }, null, { type: "Doc", ids: [on.id, "2"] }, [])),
        // The same variable twice: users who can see themselves.
        fc.constant<Query>({
          calls: [{ predicate: "allow", variables: ["u", "a", "u"] }],
          variables: new Map<string, Range>([
            ["u", { type: "User", ids: null }],
            ["a", { type: "String", ids: ["see"] }],
          ]),
          contextFacts: [],
        }),
        fc
          .tuple(fc.constantFrom("archived", "public", "archived"), action, user)
          .map(([predicate, name, by]): Query => ({
            calls: [
              { predicate: "allow", variables: ["u", "a", "d"] },
              { predicate, variables: ["d"] },
            ],
            variables: new Map<string, Range>([
              ["u", given(by)],
              ["a", { type: "String", ids: [name] }],
              ["d", { type: "Doc", ids: null }],
            ]),
            contextFacts: [],
          })),
      )
      .map((query) => ({ kind: "query" as const, query })),
  },
);

export const openSample: fc.Arbitrary<Sample> = fc.record({
  policy: openPolicy,
  facts: openFacts,
  contextFacts: openContext,
  questions: fc.array(openQuestion, { minLength: 2, maxLength: 5, size: "max" }),
  hits: fc.constant([]),
});

function whoCan(name: string, resource: Range): Query {
  return {
    calls: [{ predicate: "allow", variables: ["u", "a", "r"] }],
    variables: new Map<string, Range>([
      ["u", { type: "User", ids: null }],
      ["a", { type: "String", ids: [name] }],
      ["r", resource],
    ]),
    contextFacts: [],
  };
}
