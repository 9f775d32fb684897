/** What a fact must look like to be stored or to be a context fact, whatever the policy (polar.md 8). */
import type { Limits } from "../config/limits.ts";
import { factArgumentsMax } from "../polar/policy.ts";
import type { Fact, Value } from "../store/fact.ts";
import { AppError } from "../util/app-error.ts";

const integerMin = -(2n ** 63n);
const integerMax = 2n ** 63n - 1n;

/** Throws `invalid_request` naming the argument at fault. */
export function checkFact(fact: Fact, limits: Limits): void {
  const name = `fact \`${fact.predicate}\``;
  const refuse = (problem: string): never => {
    throw new AppError("invalid_request", `${name}: ${problem}`);
  };
  if (fact.args.length < 1 || fact.args.length > factArgumentsMax)
    refuse(`has ${fact.args.length} arguments; facts hold 1 to ${factArgumentsMax}`);
  for (const [index, { type, id }] of fact.args.entries()) {
    const place = `argument ${index + 1}`;
    if (type === "" || id === "") refuse(`${place} has an empty type or id`);
    if (id === "*")
      refuse(`${place} has the id \`*\`, which only answers use; say which values are meant in a rule of the policy`);
    for (const text of [type, id]) {
      // The database would store another character in its place, and two such values would become one.
      if (!text.isWellFormed()) refuse(`${place} holds half of a character (a lone surrogate)`);
      const bytes = Buffer.byteLength(text);
      if (bytes > limits.identifierBytesMax)
        refuse(`${place} is ${bytes} bytes long; at most ${limits.identifierBytesMax} are allowed`);
    }
    const problem = problemOf({ type, id });
    if (problem !== undefined) refuse(`${place} ${problem}`);
    if (type === "Actor" || type === "Resource")
      refuse(`${place} has the abstract type \`${type}\`; use a concrete one`);
  }
}

/** Throws `invalid_request` for an Integer or a Boolean that is none: compared with others, it would be taken for some value. */
export function checkValue(value: Value): void {
  const problem = problemOf(value);
  if (problem !== undefined) throw new AppError("invalid_request", problem);
}

function problemOf({ type, id }: Value): string | undefined {
  if (type === "Integer" && !isInteger(id)) return `\`${id}\` is no 64-bit integer in its plain form`;
  if (type === "Boolean" && id !== "true" && id !== "false")
    return `\`${id}\` is no boolean; use \`true\` or \`false\``;
  return undefined;
}

function isInteger(text: string): boolean {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return false;
  const value = BigInt(text);
  return value >= integerMin && value <= integerMax;
}
