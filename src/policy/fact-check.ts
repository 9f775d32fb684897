/** The form that every fact needs, as a stored fact or as a context fact, under each policy (`polar/LANGUAGE.md`). */
import type { Limits } from "../config/limits.ts";
import { factArgumentsMax } from "../polar/policy.ts";
import type { Fact, Value } from "../store/facts/fact.ts";
import { AppError } from "../util/app-error.ts";
import { fitsInBytes } from "../util/text-length.ts";

const integerMin = -(2n ** 63n);
const integerMax = 2n ** 63n - 1n;

/**
 * Throws `invalid_request`, which names the invalid argument. `asked` are the values of the question that a context fact
 * belongs to: a value with an empty id may only occur in a context fact if the question has it too.
 */
export function checkFact(fact: Fact, limits: Limits, asked: readonly Value[] = []): void {
  const refuse = (problem: string): never => {
    throw new AppError("invalid_request", `fact \`${fact.predicate}\`: ${problem}`);
  };
  if (fact.args.length < 1 || fact.args.length > factArgumentsMax)
    refuse(`has ${fact.args.length} arguments; facts hold 1 to ${factArgumentsMax}`);
  for (const [index, value] of fact.args.entries()) {
    if (value.id === "" && asked.some(({ type, id }) => id === "" && type === value.type)) continue;
    const problem = problemOfArgument(value, limits.identifierBytesMax);
    if (problem !== undefined) refuse(`argument ${index + 1} ${problem}`);
  }
}

function problemOfArgument({ type, id }: Value, bytesMax: number): string | undefined {
  if (type === "" || id === "") return "has an empty type or id";
  if (id === "*")
    return "has the id `*`, which is reserved for answers; write a rule in the policy to cover all values";
  for (const text of [type, id]) {
    // The database would store a replacement character, and two different values could become one.
    if (!text.isWellFormed()) return "contains a lone surrogate (half of a character)";
    // One of the drivers of SQLite reads a text only up to this character.
    if (text.includes("\0")) return "contains the character U+0000";
    if (!fitsInBytes(text, bytesMax))
      return `is ${Buffer.byteLength(text)} bytes long; at most ${bytesMax} are allowed`;
  }
  const problem = problemOf({ type, id });
  if (problem !== undefined) return problem;
  if (type === "Actor" || type === "Resource") return `has the abstract type \`${type}\`; use a concrete one`;
  return undefined;
}

/** Throws `invalid_request` for an invalid Integer or Boolean: a comparison would take it for another value. */
export function checkValue(value: Value): void {
  const problem = problemOf(value);
  if (problem !== undefined) throw new AppError("invalid_request", problem);
}

function problemOf({ type, id }: Value): string | undefined {
  if (type === "Integer" && !isInteger(id)) return `\`${id}\` is not a 64-bit integer in decimal form`;
  if (type === "Boolean" && id !== "true" && id !== "false")
    return `\`${id}\` is not a boolean; use \`true\` or \`false\``;
  return undefined;
}

function isInteger(text: string): boolean {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return false;
  const value = BigInt(text);
  return value >= integerMin && value <= integerMax;
}
