/**
 * Canonical keys are injective: two terms have the same key exactly if they are equal, whatever characters they hold.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { keyed, type Shape } from "../../src/engine/query/shapes.ts";
import { questionKey } from "../../src/engine/query/decision-cache.ts";
import { factKey, factTypeKey, rowKey, valueKey } from "../../src/policy/keys.ts";
import { seededRuns } from "../seeds.ts";

/** Short strings of the characters that keys use themselves, so that confusable terms are frequent. */
const text = fc.string({ unit: fc.constantFrom("1", "2", ":", ";", "-", " ", "a", "é", '"'), maxLength: 3 });
const value = fc.record({ type: text, id: text });
const open = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const few = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(arbitrary, { maxLength: 3 });
const typeNames = few(open(text));

/**
 * Each term comes from few parts, so pairs of equal terms occur as well. `meaning` writes a term so that it differs for
 * different terms.
 */
function checkInjective<T>(
  term: fc.Arbitrary<T>,
  keyOf: (term: T) => string,
  meaning: (term: T) => unknown = (it) => it,
): void {
  const termOfKey = new Map<string, string>();
  const keyOfTerm = new Map<string, string>();
  const property = fc.property(term, (found) => {
    const key = keyOf(found);
    const written = JSON.stringify(meaning(found), (_, part: unknown) => (part === undefined ? ["undefined"] : part));
    expect(termOfKey.get(key) ?? written).toBe(written);
    expect(keyOfTerm.get(written) ?? key).toBe(key);
    termOfKey.set(key, written);
    keyOfTerm.set(written, key);
  });
  for (const { seed, runs } of seededRuns(19, 6000)) fc.assert(property, { numRuns: runs, seed });
}

test("values", () => checkInjective(value, valueKey));

test("facts and open atoms", () => checkInjective(fc.record({ predicate: text, args: few(open(value)) }), factKey));

test("answer rows", () => checkInjective(few(fc.option(text)), rowKey));

test("fact types", () => checkInjective(fc.record({ predicate: text, types: typeNames }), factTypeKey));

test("questions", () => checkInjective(fc.record({ actor: value, action: text, resource: value }), questionKey));

test("query shapes", () => {
  const variable = fc.oneof(
    fc.record({
      type: text,
      mode: fc.constantFrom<Shape["variables"][number]["mode"]>("one", "several", "free"),
      constant: fc.constant(undefined),
    }),
    value.map((constant) => ({ type: constant.type, mode: "constant" as const, constant })),
  );
  const shape = fc.record({
    calls: few(fc.record({ predicate: text, variables: few(fc.nat(12)) })),
    variables: few(variable),
    context: few(fc.record({ predicate: text, types: typeNames })),
  });
  checkInjective(shape, (it) => keyed(it).key);
});
