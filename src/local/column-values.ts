/**
 * What a column of an application's database means as a value: one definition for the SQL of local authorization, for
 * `ostiary reconcile` and for `ostiary bindings check`. Booleans and Integers have several texts, since databases write
 * them in several ways: `t`, `1` and `Y` are true, and `05` is 5.
 */

export const integerMin = -(2n ** 63n);
export const integerMax = 2n ** 63n - 1n;

/** In lower case; databases and applications write them in any case. The last ones are those of `bit(1)` in MySQL. */
export const booleanTexts = {
  true: ["true", "t", "1", "yes", "y", "on", "\u0001"],
  false: ["false", "f", "0", "no", "n", "off", "\0"],
} as const;

/** A regular expression that a text has to match as a whole. The number must have 64 bits as well. */
export const integerPattern = "[+-]?[0-9]{1,64}";

const integer = new RegExp(`^${integerPattern}$`);

/** Whether a value of the type has several texts, and some texts are no value. */
export function hasForms(type: string): type is "Integer" | "Boolean" {
  return type === "Integer" || type === "Boolean";
}

/** The id of the value that a text means; undefined if it is none. Pure. */
export function idOfText(type: string, text: string): string | undefined {
  if (type === "Boolean") {
    const lower = text.toLowerCase();
    const means = (texts: readonly string[]): boolean => texts.includes(lower);
    return means(booleanTexts.true) ? "true" : means(booleanTexts.false) ? "false" : undefined;
  }
  if (type === "Integer") {
    if (!integer.test(text)) return undefined;
    const value = BigInt(text.replace(/^\+/, ""));
    return value >= integerMin && value <= integerMax ? String(value) : undefined;
  }
  return text === "" || text === "*" ? undefined : text;
}

/** Why a fixed argument of a signature can be no fact: a text that continues "argument 2". Pure. */
export function problemOfFixed(type: string, id: string): string | undefined {
  if (idOfText(type, id) === id) return undefined;
  if (type === "Boolean") return "is no Boolean: write `Boolean:true` or `Boolean:false`";
  if (type === "Integer") return "is no Integer: write it in decimal form, such as `Integer:10`";
  return id === "" ? "has an empty id" : `has the id \`${id}\`, which no fact has: \`_\` takes the values of a column`;
}
