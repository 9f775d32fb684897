/**
 * Random longhand rules. A rule is generated as loose parts and written down with whatever of them is legal there, so that shrinking may take
 * any part away. Negation stays stratified because every predicate has a level: `not` reaches strictly below the level of the rule's head.
 */
import fc from "fast-check";

/** `E` an entity, `S` a String, `I` an Integer. */
export const predicates = {
  flag: ["E"],
  link: ["E", "E"],
  level: ["E", "I"],
  tag: ["E", "S"],
  has_relation: ["E", "S", "E"],
  near: ["E", "E"],
  has_role: ["E", "S", "E"],
  has_permission: ["E", "S", "E"],
  allow: ["E", "S", "E"],
} as const;
export type Predicate = keyof typeof predicates;
type Kind = (typeof predicates)[Predicate][number];

export interface Setting {
  /** With it, predicates keep to their levels; without it only stored facts are negated, and any predicate may call any. */
  readonly deepNegation: boolean;
  readonly nearLevel: number;
  readonly subtype: boolean;
}

const baseLevel: Record<Predicate, number> = {
  flag: 0,
  link: 0,
  level: 0,
  tag: 0,
  has_relation: 1,
  near: 1,
  has_role: 2,
  has_permission: 3,
  allow: 4,
};

function levelOf(predicate: Predicate, setting: Setting): number {
  return predicate === "near" ? setting.nearLevel : baseLevel[predicate];
}

export const entityTypes = ["User", "A", "B", "C"] as const;
export const roleNames = ["r", "s", "t"] as const;
export const permissionNames = ["p", "q"] as const;
const strings = [...roleNames, ...permissionNames, "up", "own", "x"] as const;

const entityVariable = fc.constantFrom("u", "x", "y", "z");
const entityLiteral = fc
  .tuple(fc.constantFrom("User", "A", "B"), fc.constantFrom("1", "2"))
  .map(([type, id]) => `${type}{"${id}"}`);
const anyType = fc.constantFrom("User", "A", "B", "C", "Actor", "Resource");

const args: Record<Kind, fc.Arbitrary<string>> = {
  E: fc.oneof({ weight: 8, arbitrary: entityVariable }, { weight: 1, arbitrary: entityLiteral }),
  S: fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...strings).map((text) => `"${text}"`) },
    { weight: 2, arbitrary: fc.constantFrom("a", "b") },
  ),
  I: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom("n", "m") },
    { weight: 1, arbitrary: fc.constantFrom("0", "1", "2", "@current_unix_time") },
  ),
};

interface Call {
  readonly predicate: Predicate;
  readonly args: readonly string[];
}

const call: fc.Arbitrary<Call> = fc
  .oneof(
    { weight: 3, arbitrary: fc.constantFrom<Predicate>("flag", "link", "level", "tag", "near") },
    { weight: 4, arbitrary: fc.constantFrom<Predicate>("has_role", "has_relation", "has_permission") },
  )
  .chain((predicate) =>
    fc.tuple(...predicates[predicate].map((kind) => args[kind])).map((values) => ({ predicate, args: values })),
  );

type Part =
  | { readonly kind: "call"; readonly call: Call }
  | { readonly kind: "not"; readonly form: "one" | "and" | "or" | "not"; readonly first: Call; readonly second: Call }
  | {
      readonly kind: "compare";
      readonly negated: boolean;
      readonly entity: string;
      readonly operator: string;
      readonly right: string;
    }
  | { readonly kind: "differ"; readonly left: string; readonly right: string }
  | { readonly kind: "plain"; readonly negated: boolean; readonly text: string };

const plain = fc.oneof(
  fc.tuple(entityVariable, fc.constantFrom("matches", "matches!"), anyType).map((words) => words.join(" ")),
  fc.tuple(entityVariable, args.E).map(([left, right]) => `${left} = ${right}`),
  fc.tuple(fc.constantFrom("a", "b"), args.S).map(([left, right]) => `${left} = ${right}`),
  fc.constantFrom(
    'a in ["r", "p"]',
    'b in ["s", "p", "q"]',
    'x in [A{"1"}, B{"2"}]',
    'y in [User{"1"}, A{"1"}]',
    "n in [0, 2]",
    "n = m",
  ),
);

const part: fc.Arbitrary<Part> = fc.oneof(
  { weight: 8, arbitrary: call.map((called): Part => ({ kind: "call", call: called })) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("not" as const),
      form: fc.constantFrom("one", "one", "one", "and", "or", "not"),
      first: call,
      second: call,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("compare" as const),
      negated: fc.boolean(),
      entity: entityVariable,
      operator: fc.constantFrom("<", "<=", ">", ">=", "!="),
      right: fc.constantFrom("0", "1", "@current_unix_time", "m"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("differ" as const), left: entityVariable, right: args.E }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("plain" as const), negated: fc.boolean(), text: plain }) },
);

const headEntity = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom("u", "x", "x"), anyType).map(([name, type]) => `${name}: ${type}`) },
  { weight: 1, arbitrary: anyType.map((type) => `_: ${type}`) },
  { weight: 1, arbitrary: entityLiteral },
  { weight: 1, arbitrary: fc.constantFrom("u", "x") },
);
const heads: Record<Kind, fc.Arbitrary<string>> = {
  E: headEntity,
  S: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...strings).map((text) => `"${text}"`) },
    { weight: 1, arbitrary: fc.constantFrom("a: String", "_: String") },
  ),
  I: fc.constantFrom("0", "1", "n: Integer"),
};

export interface Rule {
  readonly predicate: Predicate;
  readonly head: readonly string[];
  readonly alternatives: readonly (readonly Part[])[];
  /** Types of variables that only the body has. */
  readonly bodyTypes: readonly { readonly variable: string; readonly type: string }[];
}

export const rule: fc.Arbitrary<Rule> = fc
  .constantFrom<Predicate>("near", "has_role", "has_role", "has_permission", "has_permission", "has_relation", "allow")
  .chain((predicate) =>
    fc.record({
      predicate: fc.constant(predicate),
      head: fc.tuple(...predicates[predicate].map((kind) => heads[kind])),
      alternatives: fc.array(fc.array(part, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 2 }),
      bodyTypes: fc.array(fc.record({ variable: fc.constantFrom("y", "z"), type: anyType }), { maxLength: 2 }),
    }),
  );

/** A rule without a body. Numbers and names are concrete more often than not, entities are often wildcards. */
export const policyFact: fc.Arbitrary<string> = fc
  .constantFrom<Predicate>("flag", "link", "level", "tag", "near", "has_role", "has_permission", "has_relation")
  .chain((predicate) =>
    fc.tuple(...predicates[predicate].map((kind) => heads[kind])).map((head) => `${predicate}(${head.join(", ")});`),
  );

/** The rule as text, or nothing where none of its parts is legal. */
export function writeRule({ predicate, head, alternatives, bodyTypes }: Rule, setting: Setting): string {
  const bodies = alternatives.flatMap((parts) => {
    const body = writeBody(parts, predicate, head, bodyTypes, setting);
    return body === undefined ? [] : [body];
  });
  if (bodies.length === 0) return "";
  return `${predicate}(${head.join(", ")}) if ${bodies.join(" or ")};`;
}

function writeBody(
  parts: readonly Part[],
  predicate: Predicate,
  head: readonly string[],
  bodyTypes: Rule["bodyTypes"],
  setting: Setting,
): string | undefined {
  const level = levelOf(predicate, setting);
  const below = (called: Call) => !setting.deepNegation || levelOf(called.predicate, setting) <= level;
  const strictlyBelow = (called: Call) => levelOf(called.predicate, setting) < (setting.deepNegation ? level : 1);
  const bound = new Set(head.map((param) => param.split(":")[0] ?? ""));
  for (const one of parts) if (one.kind === "call" && below(one.call)) for (const arg of one.call.args) bound.add(arg);
  const isValue = (term: string) => bound.has(term) || !/^[a-z]$/u.test(term);
  const written = parts.flatMap((one): string[] => {
    switch (one.kind) {
      case "call":
        return below(one.call) ? [writeCall(one.call)] : [];
      case "not": {
        if (!strictlyBelow(one.first)) return [];
        if (one.form === "one" || !strictlyBelow(one.second)) return [`not ${writeCall(one.first)}`];
        const joined = one.form === "not" ? "and not" : one.form;
        return [`not (${writeCall(one.first)} ${joined} ${writeCall(one.second)})`];
      }
      case "compare": {
        const right = isValue(one.right) ? one.right : "1";
        const compared = `${one.negated ? "not " : ""}n ${one.operator} ${right}`;
        return [`level(${one.entity}, n) and ${compared}`];
      }
      case "differ":
        return isValue(one.left) && isValue(one.right) ? [`${one.left} != ${one.right}`] : [];
      case "plain":
        return [one.negated ? `not ${one.text}` : one.text];
    }
  });
  if (written.length === 0) return undefined;
  const text = written.join(" and ");
  const types = bodyTypes.filter(
    ({ variable }) => new RegExp(`\\b${variable}\\b`, "u").test(text) && !bound.has(`${variable}:`),
  );
  return [...types.map(({ variable, type }) => `${variable} matches ${type}`), ...written].join(" and ");
}

function writeCall({ predicate, args: values }: Call): string {
  return `${predicate}(${values.join(", ")})`;
}
