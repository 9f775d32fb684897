/**
 * Keys of shapes: shapes with different plans have different keys, whatever characters their types and constants
 * contain.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { allowShape, AllowShapes } from "../../src/engine/query/shapes.ts";
import { seededRuns } from "../seeds.ts";

test("equal keys belong to equal shapes", () => {
  const text = fc.string({ unit: fc.constantFrom("a", " ", "1", "=", "[", "é"), maxLength: 3 });
  const context = fc.array(fc.record({ predicate: text, types: fc.array(text, { maxLength: 1 }) }), { maxLength: 1 });
  const shape = fc.oneof(
    fc
      .tuple(text, fc.option(text, { nil: undefined }), text, context)
      .map(([actor, action, resource, facts]) => allowShape("authorize", actor, action, resource, facts)),
    fc
      .tuple(text, fc.option(text, { nil: undefined }), text, context)
      .map(([actor, action, resource, facts]) => allowShape("list", actor, action, resource, facts)),
    fc
      .tuple(text, text, context)
      .map(([actor, resource, facts]) => allowShape("actions", actor, undefined, resource, facts)),
  );
  const known = new Map<string, string>();
  const property = fc.property(shape, ({ key, shape: found }) => {
    const meaning = JSON.stringify(found);
    expect(known.get(key) ?? meaning).toBe(meaning);
    known.set(key, meaning);
  });
  for (const { seed, runs } of seededRuns(7, 6000)) fc.assert(property, { numRuns: runs, seed });
  expect(known.size).toBe(new Set(known.values()).size);
});

test("cached shapes equal new ones, also after evictions", () => {
  const shapes = new AllowShapes();
  const kinds = ["authorize", "list", "actions"] as const;
  const context = [{ predicate: "has_role/3", types: ["User", "String", "Doc"] }];
  for (let round = 0; round < 2; round++) {
    for (let number = 0; number < 1500; number++) {
      const action = number % 5 === 0 ? undefined : "read";
      const question = [kinds[number % 3] ?? "list", `Actor${number % 7}`, action, `Type${number}`] as const;
      expect(shapes.of(...question, [])).toEqual(allowShape(...question, []));
      expect(shapes.of(...question, [])).toBe(shapes.of(...question, []));
      expect(shapes.of(...question, context)).toEqual(allowShape(...question, context));
    }
  }
});

test("few shapes are cached, whatever combinations of types and actions are asked for", () => {
  const shapes = new AllowShapes();
  const shapeOf = (number: number): unknown => {
    const [actor, action, resource] = [number % 12, Math.floor(number / 12) % 12, Math.floor(number / 144)];
    return shapes.of("authorize", `A${actor}`, `a${action}`, `R${resource}`, []);
  };
  const numbers = Array.from({ length: 12 ** 3 }, (_, number) => number);
  const first = numbers.map(shapeOf);
  expect(numbers.filter((number) => shapeOf(number) === first[number]).length).toBeLessThanOrEqual(1000);
});
