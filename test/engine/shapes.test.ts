/** Keys of shapes: what is answered by another plan has another key, whatever characters its types and constants hold. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { allowShape, free, given, textVariable } from "../../src/engine/shapes.ts";

test("equal keys are of equal shapes", () => {
  const text = fc.string({ unit: fc.constantFrom("a", " ", "1", "=", "[", "é"), maxLength: 3 });
  const context = fc.array(fc.record({ predicate: text, types: fc.array(text, { maxLength: 1 }) }), { maxLength: 1 });
  const shape = fc.oneof(
    fc
      .tuple(text, fc.option(text, { nil: undefined }), text, context)
      .map(([actor, action, resource, facts]) =>
        allowShape("authorize", given(actor), textVariable(action), given(resource), facts),
      ),
    fc
      .tuple(text, fc.option(text, { nil: undefined }), text, context)
      .map(([actor, action, resource, facts]) =>
        allowShape("list", given(actor), textVariable(action), free(resource), facts),
      ),
    fc
      .tuple(text, text, context)
      .map(([actor, resource, facts]) => allowShape("actions", given(actor), free("String"), given(resource), facts)),
  );
  const known = new Map<string, string>();
  fc.assert(
    fc.property(shape, ({ key, shape: found }) => {
      const meaning = JSON.stringify(found);
      expect(known.get(key) ?? meaning).toBe(meaning);
      known.set(key, meaning);
    }),
    { numRuns: 20_000, seed: 7 },
  );
  expect(known.size).toBe(new Set(known.values()).size);
  expect(known.size).toBeGreaterThan(1000);
});
