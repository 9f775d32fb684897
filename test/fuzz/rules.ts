/**
 * Random longhand rules. A rule is generated as independent parts and printed with those that are legal, so that
 * shrinking can remove any part. Negation is stratified, because every predicate has a level and `not` may only call
 * predicates below the level of the rule's head.
 */
import fc from "fast-check";

/**
 * The kinds of arguments: `U` an actor, `E` any entity, `R` a role, `P` a permission, `L` a relation, `S` a String, `I`
 * an Integer.
 */
export const predicates = {
  flag: ["E"],
  link: ["U", "E"],
  level: ["E", "I"],
  tag: ["E", "S"],
  has_relation: ["E", "L", "E"],
  near: ["U", "E"],
  has_role: ["U", "R", "E"],
  has_permission: ["U", "P", "E"],
  allow: ["U", "P", "E"],
} as const;
export type Predicate = keyof typeof predicates;
export type Kind = (typeof predicates)[Predicate][number];

export interface Setting {
  /**
   * If true, negation respects the levels of predicates. Otherwise only stored facts are negated, and any predicate may
   * call any other.
   */
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

export const entityTypes = ["User", "Bot", "A", "B", "C"] as const;
export const roleNames = ["r", "s", "t"] as const;
export const permissionNames = ["p", "q"] as const;

/** `u` is usually an actor and `x` the resource, so that conditions share variables and rules are often true. */
const actorVariable = fc.constantFrom("u", "u", "u", "y", "x");
const resourceVariable = fc.constantFrom("x", "x", "x", "z", "y", "u");
const entityVariable = fc.constantFrom("u", "x", "y", "z");
const entityLiteral = fc
  .tuple(fc.constantFrom("User", "A", "B"), fc.constantFrom("1", "2"))
  .map(([type, id]) => `${type}{"${id}"}`);
const actorType = fc.constantFrom("User", "User", "User", "Actor", "Bot", "Resource");
const resourceType = fc.constantFrom("A", "A", "B", "Resource", "C");
const anyType = fc.oneof(actorType, resourceType);

const mostly = (usual: fc.Arbitrary<string>, weight: number, rare: fc.Arbitrary<string>) =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: rare });

const args: Record<Kind, fc.Arbitrary<string>> = {
  U: mostly(actorVariable, 10, entityLiteral),
  E: mostly(resourceVariable, 10, entityLiteral),
  R: mostly(fc.constantFrom(...roleNames, ...roleNames, "a", "b"), 8, fc.constantFrom("p", "x")).map(quoteName),
  P: mostly(fc.constantFrom(...permissionNames, ...permissionNames, "a"), 8, fc.constantFrom("r", "b")).map(quoteName),
  L: mostly(fc.constantFrom("up", "up", "own"), 5, fc.constantFrom("a", "b")).map(quoteName),
  S: mostly(fc.constantFrom("x", "r", "p"), 2, fc.constantFrom("a", "b")).map(quoteName),
  I: mostly(fc.constantFrom("n", "m"), 3, fc.constantFrom("0", "1", "2", "@current_unix_time")),
};

/** `a` and `b` are variables, other names are strings. */
function quoteName(name: string): string {
  return name === "a" || name === "b" ? name : `"${name}"`;
}

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
  fc.tuple(fc.constantFrom("a", "b"), fc.oneof(args.R, args.P)).map(([left, right]) => `${left} = ${right}`),
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
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("compare" as const),
      negated: fc.boolean(),
      entity: entityVariable,
      operator: fc.constantFrom("<", "<=", ">", ">=", "!="),
      right: fc.constantFrom("0", "1", "@current_unix_time", "@current_unix_time", "m"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("differ" as const), left: entityVariable, right: args.E }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("plain" as const), negated: fc.boolean(), text: plain }) },
);

const headOf = (name: fc.Arbitrary<string>, type: fc.Arbitrary<string>) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.tuple(name, type).map(([variable, of]) => `${variable}: ${of}`) },
    { weight: 1, arbitrary: type.map((of) => `_: ${of}`) },
    { weight: 1, arbitrary: entityLiteral },
    { weight: 1, arbitrary: name },
  );
const headName = (names: readonly string[]) =>
  mostly(fc.constantFrom(...names).map(quoteName), 5, fc.constantFrom("a: String", "_: String"));
const heads: Record<Kind, fc.Arbitrary<string>> = {
  U: headOf(fc.constantFrom("u", "u", "u", "u", "x"), actorType),
  E: headOf(fc.constantFrom("x", "x", "x", "x", "u"), resourceType),
  R: headName([...roleNames, ...roleNames, "x"]),
  P: headName([...permissionNames, ...permissionNames, "r"]),
  L: headName(["up", "up", "own"]),
  S: headName(["x", "r", "p"]),
  I: fc.constantFrom("0", "1", "n: Integer"),
};

export interface Rule {
  readonly predicate: Predicate;
  readonly head: readonly string[];
  readonly alternatives: readonly (readonly Part[])[];
  /** Types of variables that occur only in the body. */
  readonly bodyTypes: readonly { readonly variable: string; readonly type: string }[];
}

export const rule: fc.Arbitrary<Rule> = fc
  .constantFrom<Predicate>("near", "has_role", "has_role", "has_permission", "has_permission", "has_relation", "allow")
  .chain((predicate) =>
    fc.record({
      predicate: fc.constant(predicate),
      head: fc.tuple(...predicates[predicate].map((kind) => heads[kind])),
      alternatives: fc.array(fc.array(part, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 }),
      bodyTypes: fc.array(fc.record({ variable: fc.constantFrom("y", "z"), type: anyType }), { maxLength: 2 }),
    }),
  );

/** A rule without a body. Most numbers and names are constants; entities are often wildcards. */
export const policyFact: fc.Arbitrary<string> = fc
  .constantFrom<Predicate>("flag", "link", "level", "tag", "near", "has_role", "has_permission", "has_relation")
  .chain((predicate) =>
    fc.tuple(...predicates[predicate].map((kind) => heads[kind])).map((head) => `${predicate}(${head.join(", ")});`),
  );

/** The rule as text, or nothing if none of its parts is legal. */
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
      case "plain": {
        // An equation between variables without values is not legal.
        const [left = "", right] = one.text.split(" = ");
        if (right !== undefined && !isValue(left) && !isValue(right)) return [];
        return [one.negated ? `not ${one.text}` : one.text];
      }
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
