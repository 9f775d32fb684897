/**
 * Random text of the grammar: it parses, but need not have a meaning. It contains every form, including those without a
 * use.
 */
import fc from "fast-check";

const name = fc.constantFrom(
  "a",
  "x",
  "user",
  "Org",
  "ns::Type",
  "ok?",
  "_",
  "_y",
  "actor",
  "test",
  "on",
  "имя",
  "role",
  "a_rather_long_name",
);
const string = fc.oneof(
  fc.constantFrom(
    '"a"',
    '""',
    '"\\n\\t\\0\\r\\"\\\\\\q"',
    '"a rather long text that takes its room"',
    '"# no comment"',
  ),
  fc
    .string({ unit: "grapheme", maxLength: 8 })
    .map((text) => `"${text.replace(/["\\\n\r]/g, "\\$&").replaceAll("\\\n", "\\n")}"`),
);
const number = fc.constantFrom("0", "-0", "+7", "007", "-12", "9223372036854775807");
const scalar = fc.oneof(string, number, fc.constantFrom("true", "false"));
const typed = fc.tuple(name, scalar).map(([type, id]) => `${type}{${id}}`);
const term = fc.oneof({ weight: 3, arbitrary: name }, scalar, typed, fc.constant("@current_unix_time"));

const some = (part: fc.Arbitrary<string>, maxLength = 4) => fc.array(part, { maxLength });
const listed = (part: fc.Arbitrary<string>) => some(part).map((parts) => parts.join(", "));
const withComma = (part: fc.Arbitrary<string>) =>
  fc.tuple(some(part), fc.boolean()).map(([parts, comma]) => parts.join(",") + (comma && parts.length > 0 ? "," : ""));
const joined = (...parts: readonly fc.Arbitrary<string>[]) => fc.tuple(...parts).map((texts) => texts.join(" "));

const list = withComma(term).map((items) => `[${items}]`);
const call = fc.tuple(name, listed(term)).map(([predicate, args]) => `${predicate}(${args})`);
const param = fc.oneof(
  term,
  fc.tuple(name, name).map(([variable, type]) => `${variable}: ${type}`),
);
const head = fc.tuple(name, listed(param)).map(([predicate, params]) => `${predicate}(${params})`);

const condition = fc.oneof(
  call,
  joined(term, fc.constantFrom("=", "<", "<=", ">", ">=", "!="), term),
  joined(term, fc.constant("in"), list),
  joined(name, fc.constantFrom("matches", "matches!"), name),
  fc.constantFrom("true", "false"),
);
const expression = connectives(condition, ["not "]);

const shorthandTerm = fc.oneof({ weight: 3, arbitrary: string }, fc.constantFrom("role", "permission", "resource"));
const shorthandCondition = fc.oneof(
  call,
  shorthandTerm,
  fc.tuple(shorthandTerm, shorthandTerm).map(([what, where]) => `${what} on ${where}`),
  shorthandTerm.map((what) => `global ${what}`),
);
const shorthand = connectives(shorthandCondition, []);

/** Any nesting of `and`, `or` and parentheses, also redundant ones, over the given conditions. */
function connectives(leaf: fc.Arbitrary<string>, prefixes: readonly string[]): fc.Arbitrary<string> {
  return fc.letrec<{ node: string }>((tie) => {
    const group = tie("node").map((inner) => `(${inner})`);
    const operand = fc.oneof(
      { depthSize: "small" },
      leaf,
      group,
      ...prefixes.map((prefix) => group.map((inner) => prefix + inner)),
    );
    const chain = fc.array(fc.tuple(fc.constantFrom("and", "or"), operand), { maxLength: 3 });
    return {
      node: fc.oneof(
        { depthSize: "small" },
        leaf,
        fc
          .tuple(operand, chain)
          .map(([first, rest]) => first + rest.map(([word, next]) => ` ${word} ${next}`).join("")),
        ...prefixes.map((prefix) => operand.map((inner) => prefix + inner)),
      ),
    };
  }).node;
}

const flags = fc.constantFrom("", "", "", "@flag ", "@one @two ");
const rule = fc.oneof(
  fc.tuple(flags, head).map((parts) => `${parts.join("")};`),
  fc.tuple(flags, head, expression).map(([flag, left, right]) => `${flag}${left} if ${right};`),
);
const stray = fc.constantFrom("", "", "", ";");
const section = fc.oneof(
  fc.tuple(fc.constantFrom("roles", "permissions", "other"), list).map(([what, value]) => `${what} = ${value};`),
  withComma(
    fc.oneof(
      name,
      fc.tuple(name, name).map((pair) => pair.join(": ")),
    ),
  ).map((pairs) => `relations = {${pairs}};`),
);
const shorthandRule = fc
  .tuple(flags, shorthandTerm, shorthand)
  .map(([flag, left, right]) => `${flag}${left} if ${right};`);
const braces = (item: fc.Arbitrary<string>) => some(fc.oneof(item, stray), 5).map((items) => `{ ${items.join(" ")} }`);
const supertypes = fc.oneof(
  fc.constant(""),
  fc
    .tuple(fc.array(name, { minLength: 1, maxLength: 4 }), fc.constantFrom("", ","))
    .map(([names, comma]) => ` extends ${names.join(", ")}${comma}`),
);
const block = fc.oneof(
  joined(
    fc.constantFrom("actor", "resource"),
    fc.tuple(name, supertypes).map((parts) => parts.join("")),
    braces(fc.oneof(section, shorthandRule)),
  ),
  joined(fc.constant("global"), braces(fc.oneof(section, shorthandRule))),
);

const concrete = fc.oneof(scalar, typed);
const fact = fc.tuple(name, listed(concrete)).map(([predicate, args]) => `${predicate}(${args});`);
const setup = braces(
  fc.oneof(
    fact,
    name.map((fixture) => `fixture ${fixture};`),
  ),
).map((items) => `setup ${items}`);
const assertion = fc
  .tuple(fc.constantFrom("assert", "assert_not"), head, fc.option(expression, { nil: undefined }))
  .map(([word, left, iff]) => `${word} ${left}${iff === undefined ? "" : ` iff ${iff}`};`);
const testBlock = fc
  .tuple(string, fc.oneof(fc.constant(""), setup), some(fc.oneof(assertion, stray)))
  .map(([title, before, assertions]) => `test ${title} { ${before} ${assertions.join(" ")} }`);

const statement = fc.oneof(
  { weight: 4, arbitrary: rule },
  { weight: 3, arbitrary: block },
  { weight: 2, arbitrary: testBlock },
  joined(fc.constant("test fixture"), name, braces(fact)),
  head.map((text) => `type ${text};`),
  fc.tuple(name, listed(name)).map(([predicate, types]) => `declare ${predicate}(${types});`),
  expression.map((text) => `?= ${text};`),
  fc.constant(";"),
);

export const syntax: fc.Arbitrary<string> = fc
  .array(fc.tuple(statement, fc.constantFrom("\n", "\n\n", "\r\n", " ")), { maxLength: 6 })
  .map((statements) => statements.map((parts) => parts.join("")).join(""));
