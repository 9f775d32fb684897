/** Policies that were made ready are kept for who asks next; what was found for them under some limits is not taken for what holds under others. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { activate } from "../../src/engine/policy/active-policy.ts";
import { closuresOf } from "../../src/engine/materialized/policy-closures.ts";

const source = `actor User {}
resource Folder {
  roles = ["reader"];
  relations = { parent: Folder };
  "reader" if "reader" on "parent";
}`;

test("the same policy is made once, and forgotten when enough others came", () => {
  const first = activate(source, "a.polar");
  expect(activate(source, "a.polar")).toBe(first);
  for (let other = 0; other < 10; other++) activate(`${source} # ${other}`, "a.polar");
  expect(activate(source, "a.polar")).not.toBe(first);
});

test("the name of its file is part of it, since its rules say where they stand", () => {
  const [first, second] = [activate(source, "a.polar"), activate(source, "b.polar")];
  const placesOf = ({ program }: typeof first): string[] => program.rules.map(({ span }) => span.file);
  expect(placesOf(first)).toContain("a.polar");
  expect(placesOf(second)).not.toContain("a.polar");
});

test("closures are those of the limits that are asked with, whoever asked before", () => {
  const active = activate(source, null);
  const none = { ...defaultLimits, closuresMax: 0 };
  expect(closuresOf(active, defaultLimits)).toHaveLength(1);
  expect(closuresOf(active, none)).toEqual([]);
  expect(closuresOf(active, defaultLimits)).toHaveLength(1);
});
