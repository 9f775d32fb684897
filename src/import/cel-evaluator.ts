/**
 * Evaluates expressions of CEL whose parameters are known, as the stored context of a relationship has them. `&&` and `||`
 * have a value as soon as one side decides, whatever the other side is.
 */
import { type Cel, isQuantifier, UnsupportedError } from "./cel.ts";
import { addressOf, boolean, type CelValue, durationOf, integer, networkOf, text, timestampOf } from "./cel-value.ts";

export type Known = ReadonlyMap<string, CelValue>;

/** Thrown where CEL has an error, or lacks a parameter. */
export class NoValueError extends Error {}

/** Throws NoValueError, and UnsupportedError for functions that are not known here. */
export function evaluate(cel: Cel, known: Known): CelValue {
  switch (cel.kind) {
    case "literal":
      return cel.value;
    case "name":
      return orNone(known.get(cel.name), `\`${cel.name}\` is missing`);
    case "list":
      return { type: "list", items: cel.items.map((item) => evaluate(item, known)) };
    case "select":
      return entry(evaluate(cel.target, known), text(cel.field));
    case "call":
      return call(cel, known);
  }
}

function call(cel: Cel & { readonly kind: "call" }, known: Known): CelValue {
  const { name, args } = cel;
  const [first, second, third] = args;
  if (isQuantifier(cel)) return quantify(cel, known);
  if ((name === "&&" || name === "||") && first !== undefined && second !== undefined)
    return either(name === "||", [() => evaluate(first, known), () => evaluate(second, known)]);
  if (name === "_?_:_" && first !== undefined && second !== undefined && third !== undefined)
    return evaluate(truth(evaluate(first, known)) ? second : third, known);
  if (name === "has" && first?.kind === "select") {
    const target = evaluate(first.target, known);
    return boolean(target.type === "map" && target.entries.has(first.field));
  }
  const values = [...(cel.target === undefined ? [] : [cel.target]), ...args].map((arg) => evaluate(arg, known));
  return apply(cel, name, values);
}

/** `decides` is the value of one side that makes the other side irrelevant. */
function either(decides: boolean, sides: readonly (() => CelValue)[]): CelValue {
  let problem: unknown;
  for (const side of sides)
    try {
      if (truth(side()) === decides) return boolean(decides);
    } catch (error) {
      if (!(error instanceof NoValueError || error instanceof UnsupportedError)) throw error;
      // What is not known here may be a value there.
      if (problem === undefined || error instanceof UnsupportedError) problem = error;
    }
  if (problem !== undefined) throw problem;
  return boolean(!decides);
}

function quantify(
  { name, target, args }: Cel & { readonly kind: "call"; readonly target: Cel },
  known: Known,
): CelValue {
  const [variable, condition] = args;
  const list = evaluate(target, known);
  if (variable?.kind !== "name" || condition === undefined || list.type !== "list")
    throw new UnsupportedError(`\`${name}\``);
  const each = list.items.map((item) => () => evaluate(condition, new Map([...known, [variable.name, item]])));
  if (name !== "exists_one") return either(name === "exists", each);
  return boolean(each.filter((holds) => truth(holds())).length === 1);
}

function apply(cel: Cel, name: string, values: readonly CelValue[]): CelValue {
  const [first, second] = values;
  if (first === undefined) throw new UnsupportedError(`\`${cel.text}\``);
  if (second === undefined) return unary(cel, name, first);
  switch (name) {
    case "==":
      return boolean(areEqual(first, second));
    case "!=":
      return boolean(!areEqual(first, second));
    case "<":
    case "<=":
    case ">":
    case ">=":
      return boolean(isInOrder(name, compare(first, second)));
    case "in":
      if (second.type === "list") return boolean(second.items.some((item) => areEqual(first, item)));
      if (second.type === "map" && first.type === "string") return boolean(second.entries.has(first.value));
      break;
    case "_[_]":
      return entry(first, second);
    default:
      if (name === "in_cidr" && first.type === "ipaddress" && second.type === "string") {
        const { first: least, last } = network(second.value);
        return boolean(least <= first.value && first.value <= last);
      }
      if (first.type === "string" && second.type === "string") return ofStrings(cel, name, first.value, second.value);
      if (values.length === 2) return calculate(cel, name, first, second);
  }
  throw new UnsupportedError(`\`${cel.text}\``);
}

function unary(cel: Cel, name: string, value: CelValue): CelValue {
  if (name === "!_") return boolean(!truth(value));
  if (name === "-_" && (value.type === "int" || value.type === "duration"))
    return orNone(integer(-value.value, value.type), "the number is too large");
  if (name === "-_" && value.type === "double") return { type: "double", value: -value.value };
  if (name === "size" && value.type === "list") return { type: "int", value: BigInt(value.items.length) };
  if (name === "size" && value.type === "map") return { type: "int", value: BigInt(value.entries.size) };
  if (name === "size" && value.type === "string") return { type: "int", value: BigInt([...value.value].length) };
  if (name === value.type) return value;
  if (value.type === "string" && name === "ipaddress") {
    // It may be one of IPv6.
    const found = addressOf(value.value);
    if (found !== undefined) return found;
  }
  if (value.type === "string" && (name === firstAddress || name === lastAddress))
    return { type: "int", value: network(value.value)[name === firstAddress ? "first" : "last"] };
  if (value.type === "string" && name === "timestamp") return orNone(timestampOf(value.value), "this is no timestamp");
  if (value.type === "string" && name === "duration") return orNone(durationOf(value.value), "this is no duration");
  throw new UnsupportedError(`\`${cel.text}\``);
}

/** Functions that CEL does not have: the ends of a network, between which `in_cidr` is true. */
export const firstAddress = "first address";
export const lastAddress = "last address";

function network(written: string): { readonly first: bigint; readonly last: bigint } {
  const found = networkOf(written);
  if (found === undefined) throw new UnsupportedError(`the network \`${written}\``);
  return found;
}

function ofStrings(cel: Cel, name: string, one: string, other: string): CelValue {
  switch (name) {
    case "startsWith":
      return boolean(one.startsWith(other));
    case "endsWith":
      return boolean(one.endsWith(other));
    case "contains":
      return boolean(one.includes(other));
    case "+":
      return text(one + other);
    case "matches":
      // Elsewhere, the languages of patterns differ.
      if (/^\^?(?:[A-Za-z0-9 _@:-]|\[(?:[A-Za-z0-9_]|[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9])+\][*+?]?)*\$?$/.test(other))
        return boolean(new RegExp(other, "u").test(one));
  }
  throw new UnsupportedError(`\`${cel.text}\``);
}

/** Sums and differences. */
function calculate(cel: Cel, name: string, one: CelValue, other: CelValue): CelValue {
  if ((name !== "+" && name !== "-") || !isWhole(one) || !isWhole(other)) throw new UnsupportedError(`\`${cel.text}\``);
  const value = name === "+" ? one.value + other.value : one.value - other.value;
  const type =
    one.type === other.type
      ? one.type === "timestamp"
        ? name === "-" && "duration"
        : one.type
      : one.type === "timestamp" && other.type === "duration"
        ? "timestamp"
        : name === "+" && one.type === "duration" && other.type === "timestamp" && "timestamp";
  if (type === false || type === "ipaddress") throw new UnsupportedError(`\`${cel.text}\``);
  return orNone(integer(value, type), "the number is too large");
}

function isWhole(value: CelValue): value is Extract<CelValue, { readonly value: bigint }> {
  return "value" in value && typeof value.value === "bigint";
}

function entry(target: CelValue, key: CelValue): CelValue {
  if (target.type === "map" && key.type === "string")
    return orNone(target.entries.get(key.value), `there is no \`${key.value}\``);
  if (target.type === "list" && key.type === "int")
    return orNone(key.value < 0n ? undefined : target.items[Number(key.value)], "the index is out of range");
  throw new UnsupportedError("an index of this type");
}

export function areEqual(one: CelValue, other: CelValue): boolean {
  if (one.type === "list" && other.type === "list")
    return (
      one.items.length === other.items.length &&
      one.items.every((item, index) => areEqual(item, other.items[index] ?? { type: "null" }))
    );
  if (one.type === "map" && other.type === "map") throw new UnsupportedError("the equality of maps");
  if (isNumber(one) && isNumber(other)) return compare(one, other) === 0;
  return one.type === other.type && (!("value" in one) || !("value" in other) || one.value === other.value);
}

function isNumber({ type }: CelValue): boolean {
  return type === "int" || type === "uint" || type === "double";
}

/** Negative, zero or positive. JavaScript compares numbers of both kinds by their mathematical value. */
function compare(one: CelValue, other: CelValue): number {
  if (!("value" in one) || !("value" in other)) throw new UnsupportedError("this order");
  if (one.type !== other.type && !(isNumber(one) && isNumber(other))) throw new UnsupportedError("this order");
  const [left, right] = [one.value, other.value];
  if (typeof left === "string" && typeof right === "string") return compareCharacters([...left], [...right]);
  return left < right ? -1 : left > right ? 1 : 0;
}

function compareCharacters(one: readonly string[], other: readonly string[]): number {
  const at = one.findIndex((character, index) => character !== other[index]);
  if (at === -1) return one.length - other.length;
  return (one[at]?.codePointAt(0) ?? 0) - (other[at]?.codePointAt(0) ?? -1);
}

function isInOrder(operator: string, order: number): boolean {
  if (operator === "<") return order < 0;
  if (operator === "<=") return order <= 0;
  return operator === ">" ? order > 0 : order >= 0;
}

export function truth(value: CelValue): boolean {
  if (value.type !== "bool") throw new NoValueError("this is neither true nor false");
  return value.value;
}

function orNone<T>(value: T | undefined, problem: string): T {
  if (value === undefined) throw new NoValueError(problem);
  return value;
}
