/**
 * Translates conditions to rules over facts. A relationship with a condition names an instance of it, a value whose id
 * stands for the stored context, such as `Expiry{"3f…"}`:
 *
 * - `condition_limit(instance, 5)` is a value that the relationship stores, `context_limit(5)` one of the question. A
 *   stored value comes first.
 * - `holds(instance)` and `fails(instance)` tell what the condition decides. Neither does if a value is missing.
 *
 * What Polar cannot compute, such as a sum, is computed here from the stored context and stored beside the parameters.
 */
import { createHash } from "node:crypto";
import { stringLiteral } from "../polar/string-literal.ts";
import type { Fact, Value } from "../store/facts/fact.ts";
import { must } from "../util/assert.ts";
import { type Cel, namesIn, parseCel, UnsupportedError } from "./cel.ts";
import { evaluate, type Known, NoValueError, truth } from "./cel-evaluator.ts";
import { type CelValue, text, valueOf } from "./cel-value.ts";
import { type Condition, printCondition } from "./condition.ts";
import { ConditionFormulas, type Formulas, type Term } from "./condition-formulas.ts";
import { polarScalar, polarType } from "./polar-scalars.ts";
import { relationName } from "./polar-names.ts";
import type { ConditionDeclaration, Context } from "./relation-model.ts";

/** What a relationship with a condition becomes. */
export type Instance =
  /** The stored context decides the condition. */
  | { readonly kind: "decided"; readonly holds: boolean }
  /** `problems` continue "the relationship": they say why the condition lacks a value whatever a question has. */
  | {
      readonly kind: "instance";
      readonly value: Value;
      readonly facts: readonly Fact[];
      readonly problems: readonly string[];
    }
  /** Nothing decides the condition, because of a problem that continues "the relationship". */
  | { readonly kind: "undecided"; readonly problem: string };

interface Compiled extends Formulas {
  readonly expression: Cel | undefined;
  readonly problem: string | undefined;
}

export class PolarConditions {
  readonly #declarations: ReadonlyMap<string, ConditionDeclaration>;
  readonly #typeName: (condition: string) => string;
  readonly #compiled = new Map<string, Compiled>();
  /** The names of terms in facts, by their types and texts. */
  readonly #terms = new Map<string, string>();
  readonly #taken = new Set<string>();

  /** `typeName` gives the type of the instances of a condition. */
  constructor(declarations: readonly ConditionDeclaration[], typeName: (condition: string) => string) {
    this.#declarations = new Map(declarations.map((each) => [each.name, each]));
    this.#typeName = typeName;
  }

  has(condition: string): boolean {
    return this.#declarations.has(condition);
  }

  /** The rules of a condition. `asksFails` tells whether another rule asks if it fails. */
  lines(condition: string, asksFails: boolean): string[] {
    const { holds, fails, terms } = this.#compile(condition);
    const type = this.#typeName(condition);
    const rule = (name: string, body: Condition): string[] => {
      if (body === false) return [];
      return [body === true ? `${name}(_: ${type});` : `${name}(condition: ${type}) if ${printCondition(body)};`];
    };
    const rules = [...rule("holds", holds), ...(asksFails ? rule("fails", fails) : [])];
    const rulesText = rules.join("\n");
    const { expression } = must(this.#declarations.get(condition));
    return [
      `# ${condition}: ${expression.replaceAll(/\s+/g, " ").trim()}`,
      `resource ${type} {}`,
      ...rules,
      ...terms.flatMap((term) => valueRules(term, type, rulesText)),
      "",
    ];
  }

  /** Parts of the condition that have a value only if a relationship stores their parameters, and why it has none at all. */
  limits(condition: string): string[] {
    const { terms, problem } = this.#compile(condition);
    if (problem !== undefined) return [problem];
    return terms.flatMap(({ computed, fact }) =>
      computed === undefined
        ? []
        : [
            `Polar cannot compute \`${computed.text}\`: a relationship has to store it, as \`condition_${fact}(condition, …)\``,
          ],
    );
  }

  /**
   * What becomes of a relationship with this condition, stored context and end, in seconds. `keepsFailing` makes an
   * instance also of one whose condition never holds.
   */
  instance(condition: string, stored: Context, end: number | undefined, keepsFailing: boolean): Instance {
    const declaration = must(this.#declarations.get(condition));
    const known = new Map<string, CelValue>();
    for (const [name, json] of Object.entries(stored)) {
      const parameter = declaration.parameters.find((each) => each.name === name);
      const value = parameter && valueOf(json, parameter.type);
      if (value === undefined)
        return { kind: "undecided", problem: `stores a \`${name}\` that \`${condition}\` does not admit here` };
      known.set(name, value);
    }
    const { expression, terms, problem } = this.#compile(condition);
    if (expression === undefined)
      return { kind: "undecided", problem: `depends on \`${condition}\`: ${must(problem)}` };
    const isComplete = declaration.parameters.every(({ name }) => known.has(name));
    const decided = isComplete || !declaration.needsAll ? decide(expression, known) : undefined;
    if (decided === true || (decided === false && !keepsFailing)) return { kind: "decided", holds: decided };
    const id = createHash("sha256")
      .update(canonical([stored, end ?? null]))
      .digest("hex")
      .slice(0, 32);
    const instance = { type: this.#typeName(condition), id };
    const facts: Fact[] = [];
    const problems: string[] = [];
    const uncomputed = terms.filter(
      ({ computed }) => computed && [...namesIn(computed)].some((each) => !known.has(each)),
    );
    if (uncomputed.length > 0) {
      const names = new Set(
        uncomputed.flatMap(({ computed }) => [...namesIn(must(computed))]).filter((each) => !known.has(each)),
      );
      problems.push(
        `does not store ${quoted(names)}, and Polar cannot compute ${quoted(uncomputed.map(({ name }) => name))}`,
      );
    }
    for (const term of terms) {
      if (uncomputed.includes(term)) continue;
      const found = term.computed === undefined ? known.get(term.name) : compute(term.computed, known, problems);
      if (found === undefined) continue;
      const args = factArguments(found, term);
      if (args === undefined) {
        const problem = `has a value of \`${term.name}\` that Polar cannot hold exactly`;
        if (term.computed === undefined) return { kind: "undecided", problem };
        problems.push(problem);
      } else if (args.length === 0) {
        facts.push({ predicate: "empty_condition", args: [instance, { type: "String", id: term.fact }] });
      }
      for (const each of args ?? []) facts.push({ predicate: `condition_${term.fact}`, args: [instance, ...each] });
    }
    if (end !== undefined) facts.push({ predicate: "ends", args: [instance, { type: "Integer", id: String(end) }] });
    return { kind: "instance", value: instance, facts, problems };
  }

  /**
   * The facts of the context of a question, or the name of a value that Polar cannot hold or that no condition takes. A
   * condition that does not take a value lacks it: another one may have a parameter of this name with another type.
   */
  contextFacts(conditions: Iterable<string>, context: Context): readonly Fact[] | string {
    const facts = new Map<string, Fact>();
    const [taken, refused] = [new Set<string>(), new Set<string>()];
    for (const condition of conditions)
      for (const term of this.#compile(condition).terms) {
        const json = context[term.name];
        if (term.computed !== undefined || json === undefined) continue;
        const value = valueOf(json, term.type);
        (value === undefined ? refused : taken).add(term.name);
        if (value === undefined) continue;
        const args = factArguments(value, term);
        if (args === undefined) return term.name;
        const found = args.map((each): Fact => ({ predicate: `context_${term.fact}`, args: each }));
        if (args.length === 0) found.push({ predicate: "empty_context", args: [{ type: "String", id: term.fact }] });
        for (const fact of found) facts.set(JSON.stringify(fact), fact);
      }
    return [...refused.difference(taken)][0] ?? [...facts.values()];
  }

  /** The parameters of the parts that only a stored context can give. */
  storedNames(condition: string): ReadonlySet<string> {
    return new Set(this.#compile(condition).terms.flatMap(({ computed }) => (computed ? [...namesIn(computed)] : [])));
  }

  #compile(condition: string): Compiled {
    return this.#compiled.getOrInsertComputed(condition, () => {
      const declaration = must(this.#declarations.get(condition));
      try {
        const expression = parseCel(declaration.expression);
        const formulas = new ConditionFormulas(declaration, (type, text) => this.#factName(type, text));
        return { expression, problem: undefined, ...formulas.of(expression) };
      } catch (error) {
        if (!(error instanceof UnsupportedError)) throw error;
        const problem = `its expression is not translated: ${error.message}`;
        return { expression: undefined, problem, holds: false, fails: false, terms: [] };
      }
    });
  }

  /** A name for facts that no other text or type has. */
  #factName(type: string, text: string): string {
    const key = `${type} ${text}`;
    const known = this.#terms.get(key);
    if (known !== undefined) return known;
    const spoken = text.replaceAll("+", " plus ").replaceAll("-", " minus ");
    const name = relationName(spoken.slice(0, 100), (candidate) => this.#taken.has(candidate));
    this.#terms.set(key, name);
    this.#taken.add(name);
    return name;
  }
}

function decide(expression: Cel, known: Known): boolean | undefined {
  try {
    return truth(evaluate(expression, known));
  } catch (error) {
    if (error instanceof NoValueError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

/** Undefined if the expression has no value; with a problem that continues "the relationship" if it may have one there. */
function compute(expression: Cel, known: Known, problems: string[]): CelValue | undefined {
  try {
    return evaluate(expression, known);
  } catch (error) {
    if (error instanceof UnsupportedError) problems.push(`needs \`${expression.text}\`, which is not translated`);
    else if (!(error instanceof NoValueError)) throw error;
    return undefined;
  }
}

function quoted(texts: Iterable<string>): string {
  return [...texts].map((each) => `\`${each}\``).join(", ");
}

/** The arguments of the facts for a value: one fact per item of a list, and per entry of a map. */
function factArguments(value: CelValue, { type, computed }: Term): Value[][] | undefined {
  const of = type.of ?? type;
  const args =
    value.type === "list" && computed === undefined
      ? value.items.map((item) => [polarScalar(item, of.name)])
      : value.type === "map"
        ? [...value.entries].map(([key, item]) => [polarScalar(text(key), "string"), polarScalar(item, of.name)])
        : [[polarScalar(value, type.name)]];
  const known = args.map((each) => each.filter((arg) => arg !== undefined));
  return known.every((each, index) => each.length === args[index]?.length) ? known : undefined;
}

function valueRules({ fact, type, computed }: Term, owner: string, rules: string): string[] {
  if (computed !== undefined) return [];
  const key = type.name === "map" ? "key, " : "";
  const head = `value_${fact}(condition: ${owner}, ${key === "" ? "" : "key: String, "}value: ${polarType((type.of ?? type).name)})`;
  const isPlural = type.of !== undefined;
  const empty = `empty_condition(condition, ${stringLiteral(fact)})`;
  const stored = `not condition_${fact}(condition, ${key === "" ? "" : "_, "}_)${isPlural ? ` and not ${empty}` : ""}`;
  return [
    `${head} if condition_${fact}(condition, ${key}value);`,
    `${head} if context_${fact}(${key}value) and ${stored}${guards[(type.of ?? type).name] ?? ""};`,
    ...(isPlural && rules.includes(`given_${fact}(`)
      ? [
          `given_${fact}(condition: ${owner}) if value_${fact}(condition, ${key === "" ? "" : "_, "}_) or ${empty};`,
          `given_${fact}(condition: ${owner}) if empty_context(${stringLiteral(fact)}) and ${stored};`,
        ]
      : []),
  ];
}

/** Integers of a question that are no values of the type are none of the condition. */
const guards: Readonly<Record<string, string>> = {
  uint: " and value >= 0",
  natural: " and value >= 0",
  ipaddress: " and value >= 0 and value <= 4294967295",
  double: " and value >= -1000000000000000 and value <= 1000000000000000",
};

/** Equal texts for equal values, whatever the order of their members. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(",")}}`;
}
