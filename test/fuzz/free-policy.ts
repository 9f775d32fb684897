/**
 * Random policies without a purpose: longhand rules with freely nested conditions, over facts of any type, with their
 * own tests. They contain forms that useful policies don't have: variables of any type, equations and lists of several
 * types, `matches` in any position, nested negations. Negation is stratified, because `d3` may only negate `d0` to
 * `d2`, and so on. A policy that compares a variable without a value is refused.
 */
import fc from "fast-check";

const blocks = `actor U {} resource A {} resource B extends A {} resource C {} resource S extends B, C {} actor W extends A, U {}`;

/**
 * The numbers of arguments of predicates. Facts come first, then the predicates of rules, which may negate only those
 * before them.
 */
const stored = { g: 1, h: 2, k: 1, l: 3 };
const derived = { d0: 1, d1: 2, d2: 1, d3: 2 };
const derivedNames = ["d0", "d1", "d2", "d3"] as const;

const literal = fc.constantFrom(
  ...`"a" "b" 1 2 true false U{"1"} U{"2"} A{"1"} B{"1"} B{2} A{true} 1700000000 S{"1"} Ghost{"1"}`.split(" "),
);
const type = fc.constantFrom(..."U A B Actor Resource String Integer Boolean S Ghost W".split(" "));
const variable = fc.constantFrom("x", "y", "z", "w", "_v");
const term = fc.oneof(
  { weight: 12, arbitrary: variable },
  { weight: 4, arbitrary: literal },
  { weight: 1, arbitrary: fc.constantFrom("_", "@current_unix_time") },
);

function call(predicates: Readonly<Record<string, number>>, arg: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .constantFrom(...Object.entries(predicates))
    .chain(([name, arity]) =>
      fc.array(arg, { minLength: arity, maxLength: arity }).map((args) => `${name}(${args.join(", ")})`),
    );
}

const list = fc.array(literal, { maxLength: 3 }).map((values) => `[${values.join(", ")}]`);
const operator = fc.constantFrom("<", "<=", ">", ">=");
const simple: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(variable, fc.constantFrom("matches", "matches!"), type).map(joined) },
  { weight: 3, arbitrary: fc.tuple(variable, fc.constant("="), term).map(joined) },
  { weight: 3, arbitrary: fc.tuple(variable, fc.constant("in"), list).map(joined) },
  { weight: 1, arbitrary: fc.tuple(variable, fc.constant("!="), term).map(joined) },
  {
    weight: 1,
    arbitrary: fc.tuple(variable, operator, fc.constantFrom("1", "2", "@current_unix_time", "x")).map(joined),
  },
  { weight: 1, arbitrary: fc.tuple(literal, fc.constantFrom("=", "!="), term).map(joined) },
  { weight: 1, arbitrary: fc.constantFrom("true", "false") },
);

function joined(words: readonly string[]): string {
  return words.join(" ");
}

/** `level` is the number of derived predicates that a condition may call, one less in each negation. */
function condition(depth: number, level: number): fc.Arbitrary<string> {
  const asked = { ...stored, ...Object.fromEntries(derivedNames.slice(0, level).map((name) => [name, derived[name]])) };
  const flat = fc.oneof({ weight: 5, arbitrary: call(asked, term) }, { weight: 3, arbitrary: simple });
  if (depth === 0) return flat;
  const inner = condition(depth - 1, level);
  return fc.oneof(
    { weight: 5, arbitrary: flat },
    { weight: 4, arbitrary: fc.tuple(inner, inner).map(([one, other]) => `(${one} and ${other})`) },
    { weight: 2, arbitrary: fc.tuple(inner, inner).map(([one, other]) => `(${one} or ${other})`) },
    { weight: 2, arbitrary: condition(depth - 1, Math.max(0, level - 1)).map((negated) => `not ${negated}`) },
  );
}

const param = fc.oneof(
  { weight: 5, arbitrary: variable },
  { weight: 3, arbitrary: fc.tuple(fc.constantFrom("x", "y", "z", "_v", "_"), type).map((words) => words.join(": ")) },
  { weight: 1, arbitrary: fc.oneof(literal, fc.constant("_")) },
);

const rule = fc.constantFrom(...derivedNames.entries()).chain(([level, name]) => {
  const body = fc.tuple(condition(3, level + 1), call(stored, term), fc.boolean());
  return fc.tuple(call({ [name]: derived[name] }, param), fc.option(body, { freq: 7 })).map(([head, parts]) => {
    if (parts === null) return `${head};`;
    return `${head} if ${parts[0]}${parts[2] ? ` and ${parts[1]}` : ""};`;
  });
});

const asked = fc.oneof(
  { weight: 3, arbitrary: literal },
  { weight: 1, arbitrary: fc.constantFrom("x", "y") },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom("x", "y"), type).map((words) => words.join(": ")) },
);

const assertion = fc
  .tuple(fc.constantFrom("assert", "assert_not"), call(derived, asked), fc.option(list))
  .map(([word, head, values]) => {
    const name = /[(,] ?([xy])\b/.exec(head)?.[1];
    return `${word} ${head}${name !== undefined && values !== null ? ` iff ${name} in ${values}` : ""};`;
  });

const fact = call({ ...stored, ...stored, ...derived }, literal).map((text) => `${text};`);

export const freePolicy: fc.Arbitrary<string> = fc
  .record({
    rules: fc.array(rule, { minLength: 1, maxLength: 5, size: "max" }),
    facts: fc.array(fact, { minLength: 1, maxLength: 7, size: "max" }),
    assertions: fc.array(assertion, { minLength: 1, maxLength: 5, size: "max" }),
  })
  .map(({ rules, facts, assertions }) =>
    [
      blocks,
      ...rules,
      `test "t" {`,
      `  setup { ${facts.join(" ")} }`,
      ...assertions.map((text) => `  ${text}`),
      "}",
    ].join("\n"),
  );
