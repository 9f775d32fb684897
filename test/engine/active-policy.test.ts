/** The cache of compiled policies, and the closures that are found for a policy under given limits. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { activate } from "../../src/policy/active-policy.ts";
import { closuresOf } from "../../src/log/derived/policy-closures.ts";

const source = `actor User {}
resource Folder {
  roles = ["reader"];
  relations = { parent: Folder };
  "reader" if "reader" on "parent";
}`;

test("a policy is compiled once, and evicted after enough other policies", () => {
  const first = activate(source, "a.polar");
  expect(activate(source, "a.polar")).toBe(first);
  for (let other = 0; other < 10; other++) activate(`${source} # ${other}`, "a.polar");
  expect(activate(source, "a.polar")).not.toBe(first);
});

test("the file name is part of a policy, because its rules have positions in the file", () => {
  const [first, second] = [activate(source, "a.polar"), activate(source, "b.polar")];
  const placesOf = ({ program }: typeof first): string[] => program.rules.map(({ span }) => span.file);
  expect(placesOf(first)).toContain("a.polar");
  expect(placesOf(second)).not.toContain("a.polar");
});

test("closures depend on the limits of the search, not on earlier searches", () => {
  const active = activate(source, null);
  const none = { ...defaultLimits, closuresMax: 0 };
  expect(closuresOf(active, defaultLimits)).toHaveLength(1);
  expect(closuresOf(active, none)).toEqual([]);
  expect(closuresOf(active, defaultLimits)).toHaveLength(1);
});

test("names of closures are those of 0.1.0, also if one role begins with the name of another", () => {
  const roles = `actor User {}
    resource Folder {
      roles = ["a", "a b"];
      permissions = ["read"];
      relations = { parent: Folder, owner: Folder };
      "a" if "a b" on "parent";
      "a b" if "a" on "owner";
      "read" if "a";
    }`;
  const relations = closuresOf(activate(roles, null), defaultLimits).map(({ steps }) =>
    steps.map(({ atoms }) => atoms.flatMap(({ args }) => args.map((arg) => arg.kind === "const" && arg.value.id))),
  );
  expect(relations).toEqual([[[false, "parent", false, false, "owner", false]]]);
});
