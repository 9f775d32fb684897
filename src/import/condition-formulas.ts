/**
 * Two formulas for a condition: when it holds and when it fails. Neither negates the other, because a condition with a
 * missing value does neither.
 */
import { type Cel, isQuantifier, namesIn, UnsupportedError } from "./cel.ts";
import { evaluate, firstAddress, lastAddress, NoValueError, truth } from "./cel-evaluator.ts";
import type { CelValue, ParameterType } from "./cel-value.ts";
import { and, atom, type Condition, not, or } from "./condition.ts";
import { stringLiteral } from "../polar/string-literal.ts";
import { familyOf, polarScalar } from "./polar-scalars.ts";
import { variableName } from "./polar-names.ts";
import type { ConditionDeclaration } from "./relation-model.ts";

/** A parameter, or a part of the expression that only a stored context can give. */
export interface Term {
  /** The parameter, or the text of the part. */
  readonly name: string;
  /** Its name in predicates. */
  readonly fact: string;
  readonly type: ParameterType;
  readonly computed?: Cel;
}

export interface Formulas {
  readonly holds: Condition;
  readonly fails: Condition;
  /** What the formulas read. */
  readonly terms: readonly Term[];
}

/** A side of a comparison: a constant, or a text that `binding` gives a value. */
type Operand =
  { readonly constant: CelValue } | { readonly text: string; readonly binding: Condition; readonly type: string };

/** The variables of quantifiers around a part. */
type Bound = ReadonlyMap<string, { readonly text: string; readonly type: string }>;

/** Thrown for a part that has no formula, where it depends on the variable of a quantifier. */
class NoFormulaError extends Error {}

/** Alternatives of a rule after it is multiplied out. */
const alternativesMax = 64;

const comparisons: Readonly<Record<string, string>> = {
  "==": "=",
  "!=": "!=",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
};
const opposites: Readonly<Record<string, string>> = {
  "=": "!=",
  "!=": "=",
  "<": ">=",
  "<=": ">",
  ">": "<=",
  ">=": "<",
};

export class ConditionFormulas {
  readonly #parameters: ReadonlyMap<string, ParameterType>;
  readonly #needsAll: boolean;
  readonly #factName: (type: string, text: string) => string;
  readonly #terms = new Map<string, Term>();
  readonly #variables = new Map<string, string>();
  /** How many variables of quantifiers there are. */
  #items = 0;

  constructor({ parameters, needsAll }: ConditionDeclaration, factName: (type: string, text: string) => string) {
    this.#parameters = new Map(parameters.map(({ name, type }) => [name, type]));
    this.#needsAll = needsAll;
    this.#factName = factName;
  }

  of(expression: Cel): Formulas {
    const both = this.#withAll(expression) ?? this.#computedTruth(expression);
    const used = new Set(
      [...textsIn(both.holds), ...textsIn(both.fails)].flatMap((text) => text.match(/\w+(?=\()/g) ?? []),
    );
    const terms = [...this.#terms.values()].filter(({ fact }) =>
      ["value", "given", "condition"].some((predicate) => used.has(`${predicate}_${fact}`)),
    );
    return { ...both, terms };
  }

  /** The formulas with all parameters that a decision needs. Undefined if they are too large, or a parameter has no form. */
  #withAll(expression: Cel): Pick<Formulas, "holds" | "fails"> | undefined {
    const [holds, fails] = [true, false].map((wanted) => {
      const formula = this.#formula(expression, wanted, new Map());
      const given = [...this.#parameters]
        .filter(([name]) => this.#needsAll && formula !== false && !implies(formula, (text) => this.#reads(text, name)))
        .map(([name, type]) => this.#given(name, type));
      return given.includes(undefined) ? undefined : and(formula, ...given.filter((each) => each !== undefined));
    });
    if (holds === undefined || fails === undefined) return undefined;
    return alternatives(holds) > alternativesMax || alternatives(fails) > alternativesMax
      ? undefined
      : { holds, fails };
  }

  #computedTruth(expression: Cel): Pick<Formulas, "holds" | "fails"> {
    const [holds, fails] = [this.#opaque(expression, true, new Map()), this.#opaque(expression, false, new Map())];
    return { holds, fails };
  }

  /** Whether the atom gives a value to the parameter, itself or within a part. */
  #reads(text: string, parameter: string): boolean {
    return [...this.#terms.values()].some(
      ({ name, fact, computed }) =>
        (computed === undefined ? name === parameter : namesIn(computed).has(parameter)) &&
        ["value", "given", "condition"].some((predicate) => text.startsWith(`${predicate}_${fact}(`)),
    );
  }

  #given(name: string, type: ParameterType): Condition | undefined {
    const term = this.#parameter(name, type);
    if (term === undefined) return undefined;
    return atom(type.of === undefined ? `value_${term.fact}(condition, _)` : `given_${term.fact}(condition)`);
  }

  /** When the part is true, or false. */
  #formula(cel: Cel, wanted: boolean, bound: Bound): Condition {
    if (namesIn(cel).size === 0) return constantTruth(cel) === wanted;
    if (cel.kind === "call") {
      const { name, args } = cel;
      const [first, second, third] = args;
      const each = (parts: readonly Cel[]): Condition[] => parts.map((part) => this.#formula(part, wanted, bound));
      if (name === "&&" || name === "||") return (name === "&&") === wanted ? and(...each(args)) : or(...each(args));
      if (name === "!_" && first !== undefined) return this.#formula(first, !wanted, bound);
      if (name === "_?_:_" && first && second && third)
        return or(
          and(this.#formula(first, true, bound), this.#formula(second, wanted, bound)),
          and(this.#formula(first, false, bound), this.#formula(third, wanted, bound)),
        );
      if (name === "in_cidr" && cel.target && first)
        return this.#inNetwork(cel.target, first, wanted, bound) ?? this.#opaque(cel, wanted, bound);
      if (isQuantifier(cel)) return this.#quantifier(cel, wanted, bound) ?? this.#opaque(cel, wanted, bound);
      if (name === "in" && first && second)
        return this.#in(first, second, wanted, bound) ?? this.#opaque(cel, wanted, bound);
      const operator = comparisons[name];
      if (operator !== undefined && first && second && args.length === 2)
        return (
          this.#comparison(first, wanted ? operator : (opposites[operator] ?? ""), second, bound) ??
          this.#opaque(cel, wanted, bound)
        );
    }
    const operand = this.#operand(cel, bound);
    if (operand === undefined || "constant" in operand || operand.type !== "bool")
      return this.#opaque(cel, wanted, bound);
    return and(operand.binding, atom(`${operand.text} = ${wanted}`));
  }

  /** A part whose truth only a stored context can give. */
  #opaque(cel: Cel, wanted: boolean, bound: Bound): Condition {
    const operand = this.#stored(cel, "bool", bound);
    if (operand === undefined) throw new NoFormulaError();
    return and(operand.binding, atom(`${operand.text} = ${wanted}`));
  }

  #comparison(left: Cel, operator: string, right: Cel, bound: Bound): Condition | undefined {
    for (const [side, other] of [
      [left, right],
      [right, left],
    ] as const)
      if (other.kind === "literal" && other.value.type === "null") return this.#isNull(side, operator, bound);
    const [one, other] = [this.#operand(left, bound), this.#operand(right, bound)];
    if (one === undefined || other === undefined) return undefined;
    const type = "constant" in one ? ("constant" in other ? undefined : other.type) : one.type;
    if (type === undefined) return undefined;
    const [first, second] = [constantIn(one, type), constantIn(other, type)];
    if (first === undefined || second === undefined || familyOf(first.type) !== familyOf(second.type)) return undefined;
    const isOrder = operator !== "=" && operator !== "!=";
    if (isOrder && type === "string") return orderToEmpty(first, operator, second);
    if (isOrder && (type === "bool" || type === "ipaddress")) return undefined;
    return and(first.binding, second.binding, atom(`${first.text} ${operator} ${second.text}`));
  }

  /** No parameter is null; one with a value is not null. */
  #isNull(cel: Cel, operator: string, bound: Bound): Condition | undefined {
    const type = cel.kind === "name" && !bound.has(cel.name) ? this.#parameters.get(cel.name) : undefined;
    if (cel.kind !== "name" || type === undefined) return undefined;
    return operator === "!=" ? this.#given(cel.name, type) : operator === "=" ? false : undefined;
  }

  #in(item: Cel, container: Cel, wanted: boolean, bound: Bound): Condition | undefined {
    if (container.kind === "list") {
      const equal = container.items.map((each) => this.#comparison(item, wanted ? "=" : "!=", each, bound));
      const known = equal.filter((each) => each !== undefined);
      if (known.length < equal.length || known.length === 0) return undefined;
      return wanted ? or(...known) : and(...known);
    }
    const term = this.#pluralIn(container, bound);
    const operand = this.#operand(item, bound);
    if (term === undefined || operand === undefined) return undefined;
    const isMap = term.type.name === "map";
    const type = isMap ? "string" : (term.type.of?.name ?? "");
    const found = constantIn(operand, type);
    if (found === undefined || familyOf(found.type) !== familyOf(type)) return undefined;
    const has = atom(`value_${term.fact}(condition, ${found.text}${isMap ? ", _" : ""})`);
    return wanted ? and(found.binding, has) : and(found.binding, atom(`given_${term.fact}(condition)`), not(has));
  }

  /** An address is in a network from its first to its last address. */
  #inNetwork(address: Cel, network: Cel, wanted: boolean, bound: Bound): Condition | undefined {
    const ends = [firstAddress, lastAddress].map((name): Cel => ({
      kind: "call",
      name,
      args: [network],
      text: `${name} of ${network.text}`,
    }));
    const [ip, first, last] = [address, ...ends].map((cel) => {
      const operand = this.#operand(cel, bound);
      return operand && constantIn(operand, cel === address ? "ipaddress" : "int");
    });
    if (ip === undefined || first === undefined || last === undefined) return undefined;
    const [low, high] = [
      `${ip.text} ${wanted ? ">=" : "<"} ${first.text}`,
      `${ip.text} ${wanted ? "<=" : ">"} ${last.text}`,
    ];
    const within = wanted ? and(atom(low), atom(high)) : or(atom(low), atom(high));
    return and(ip.binding, first.binding, last.binding, within);
  }

  #quantifier(
    cel: Cel & { readonly kind: "call"; readonly target: Cel },
    wanted: boolean,
    bound: Bound,
  ): Condition | undefined {
    const [variable, inner] = cel.args;
    const term = this.#pluralIn(cel.target, bound);
    if (term?.type.name !== "list" || variable?.kind !== "name" || inner === undefined || cel.name === "exists_one")
      return undefined;
    // Each quantifier has its own variable: one of `exists` must not limit what an `all` beside it counts.
    const text = this.#variable(`${term.fact} item ${this.#items++}`);
    const item = atom(`value_${term.fact}(condition, ${text})`);
    const within = new Map([...bound, [variable.name, { text, type: term.type.of?.name ?? "" }]]);
    try {
      const formula = this.#formula(inner, wanted, within);
      if ((cel.name === "exists") === wanted) return and(item, formula);
      return and(atom(`given_${term.fact}(condition)`), not(and(item, not(formula))));
    } catch (error) {
      if (error instanceof NoFormulaError) return undefined;
      throw error;
    }
  }

  #operand(cel: Cel, bound: Bound): Operand | undefined {
    if (namesIn(cel).size === 0) return constantOf(cel);
    if (cel.kind === "name") {
      const variable = bound.get(cel.name);
      if (variable !== undefined) return { ...variable, binding: true };
      const type = this.#parameters.get(cel.name);
      const term = type && type.of === undefined ? this.#parameter(cel.name, type) : undefined;
      if (term === undefined) return undefined;
      const text = this.#variable(term.fact);
      return { text, binding: atom(`value_${term.fact}(condition, ${text})`), type: term.type.name };
    }
    const [map, key] =
      cel.kind === "select"
        ? [cel.target, cel.field]
        : cel.kind === "call" && cel.name === "_[_]"
          ? indexOf(cel.args)
          : [];
    const term = map === undefined || key === undefined ? undefined : this.#pluralIn(map, bound);
    if (term?.type.name === "map" && key !== undefined) {
      const text = this.#variable(`${term.fact} ${key}`);
      const binding = atom(`value_${term.fact}(condition, ${stringLiteral(key)}, ${text})`);
      return { text, binding, type: term.type.of?.name ?? "" };
    }
    const type = this.#typeOf(cel)?.name;
    return type === undefined || familyOf(type) === undefined ? undefined : this.#stored(cel, type, bound);
  }

  #stored(cel: Cel, type: string, bound: Bound): Exclude<Operand, { constant: CelValue }> | undefined {
    if ([...namesIn(cel)].some((name) => bound.has(name))) return undefined;
    const fact = this.#factName(type, cel.text);
    this.#terms.set(fact, { name: cel.text, fact, type: { name: type }, computed: cel });
    const text = this.#variable(fact);
    return { text, binding: atom(`condition_${fact}(condition, ${text})`), type };
  }

  #parameter(name: string, type: ParameterType): Term | undefined {
    if (familyOf((type.of ?? type).name) === undefined) return undefined;
    const fact = this.#factName(`${type.name} ${type.of?.name ?? ""}`, name);
    const term = { name, fact, type };
    this.#terms.set(fact, term);
    return term;
  }

  /** A list or map whose values Polar can hold. */
  #pluralIn(cel: Cel, bound: Bound): Term | undefined {
    const type = cel.kind === "name" && !bound.has(cel.name) ? this.#parameters.get(cel.name) : undefined;
    return cel.kind === "name" && type?.of !== undefined ? this.#parameter(cel.name, type) : undefined;
  }

  /** Of a part that is computed from the stored context. */
  #typeOf(cel: Cel): ParameterType | undefined {
    if (cel.kind === "literal") return { name: cel.value.type };
    if (cel.kind === "name") return this.#parameters.get(cel.name);
    if (cel.kind === "select") return this.#typeOf(cel.target)?.of;
    if (cel.kind !== "call") return undefined;
    const { name, args } = cel;
    const [one, other] = args.map((arg) => this.#typeOf(arg));
    if (name === "size" || name === firstAddress || name === lastAddress) return { name: "int" };
    if (name === "_[_]") return one?.of;
    if (name === "-_" && one?.name !== "natural") return one;
    if (familyOf(name) !== undefined && args.length === 1) return { name };
    if ((name !== "+" && name !== "-") || one === undefined || other === undefined) return undefined;
    if (one.name === "timestamp" && other.name === "timestamp") return { name: "duration" };
    if (one.name === "natural" || other.name === "natural") return { name: "int" };
    return one.name === "duration" && other.name === "timestamp" ? other : one;
  }

  /** One variable for each wish. */
  #variable(wish: string): string {
    return this.#variables.getOrInsertComputed(wish, () => {
      const name = variableName(wish);
      const taken = new Set(["condition", ...this.#variables.values()]);
      for (let number = 1; ; number += 1) {
        const candidate = number === 1 ? name : `${name}${number}`;
        if (!taken.has(candidate)) return candidate;
      }
    });
  }
}

function indexOf([target, index]: readonly Cel[]): [Cel, string] | [] {
  return target !== undefined && index?.kind === "literal" && index.value.type === "string"
    ? [target, index.value.value]
    : [];
}

function constantOf(cel: Cel): Operand | undefined {
  try {
    return { constant: evaluate(cel, new Map()) };
  } catch (error) {
    if (error instanceof NoValueError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

/** Undefined if the constant has no truth, so that the condition neither holds nor fails. */
function constantTruth(cel: Cel): boolean | undefined {
  try {
    return truth(evaluate(cel, new Map()));
  } catch (error) {
    if (error instanceof NoValueError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

/** A constant is written as a value of the type beside it. */
function constantIn(operand: Operand, type: string): Exclude<Operand, { constant: CelValue }> | undefined {
  if (!("constant" in operand)) return operand;
  if (type === "string" && operand.constant.type === "string" && operand.constant.value === "")
    return { text: '""', binding: true, type };
  const value = polarScalar(operand.constant, type);
  if (value === undefined) return undefined;
  return { text: value.type === "String" ? stringLiteral(value.id) : value.id, binding: true, type };
}

/** Polar has no order of strings, but nothing is before the empty one. */
function orderToEmpty(
  left: Exclude<Operand, { constant: CelValue }>,
  operator: string,
  right: Exclude<Operand, { constant: CelValue }>,
): Condition | undefined {
  if (left.text === '""')
    return orderToEmpty(
      right,
      operator.replace(/[<>]/, (sign) => (sign === "<" ? ">" : "<")),
      left,
    );
  if (right.text !== '""' || left.text.startsWith('"')) return undefined;
  if (operator === "<") return false;
  if (operator === ">=") return left.binding;
  return and(left.binding, atom(`${left.text} ${operator === ">" ? "!=" : "="} ""`));
}

function textsIn(condition: Condition): string[] {
  if (typeof condition === "boolean") return [];
  if (condition.kind === "atom") return [condition.text];
  return condition.kind === "not" ? textsIn(condition.part) : condition.parts.flatMap(textsIn);
}

/** Whether an atom with the property holds wherever the condition does. */
function implies(condition: Condition, has: (text: string) => boolean): boolean {
  if (typeof condition === "boolean") return !condition;
  if (condition.kind === "atom") return has(condition.text);
  if (condition.kind === "not") return false;
  const test = (part: Condition): boolean => implies(part, has);
  return condition.kind === "and" ? condition.parts.some(test) : condition.parts.every(test);
}

function alternatives(condition: Condition): number {
  if (typeof condition === "boolean" || condition.kind === "atom") return 1;
  if (condition.kind === "not") return alternatives(condition.part) > alternativesMax ? alternativesMax + 1 : 1;
  const counts = condition.parts.map(alternatives);
  return counts.reduce((all, count) => (condition.kind === "and" ? all * count : all + count));
}
