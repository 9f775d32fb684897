/**
 * The work for hints about unknown names is bounded: it is done on the thread of all writes, and after each denial. The
 * hints themselves are in `test/http/unknown-names.test.ts`.
 */
import { describe, expect, spyOn, test } from "bun:test";
import { activate, type ActivePolicy } from "../../src/policy/active-policy.ts";
import { unknownNamesInFacts } from "../../src/policy/fact-names.ts";
import { KnownNames, knownNames } from "../../src/policy/known-names.ts";
import { type AskedCall, unknownNames } from "../../src/policy/unknown-names.ts";
import { fact } from "./store.ts";

const project = `actor User {} resource Project {
  roles = ["member", "owner"];
  permissions = ["read"];
  "read" if "member";
}`;

const withOwnRoles = `${project}
  has_permission(user: User, action: String, project: Project) if
    has_role(user, role, project) and grants_permission(role, action);`;

/** The second argument of a fact may have any type. */
const withAnyType = `${project} has_permission(user: User, "read", project: Project) if
  has_role(user, "reader", thing) and has_relation(project, "thing", thing);`;

describe("a write", () => {
  test("searches nothing if its names are data, and one name once", () => {
    const role = (index: number) => fact("has_role", `User:${index}`, `String:role-${index}`, "Project:x");
    expect(hintsOf(withOwnRoles, manyOf(role))).toEqual({ hints: [], searches: 0 });
    const same = (index: number) => fact("has_role", `User:${index}`, "String:membr", "Project:x");
    const hints = ["the policy has no role `membr` of `Project`: did you mean `member`?"];
    expect(hintsOf(project, manyOf(same))).toEqual({ hints, searches: 1 });
  });

  test("names at most five unknown names, and searches only these", () => {
    const role = (index: number) => fact("has_role", `User:${index}`, `String:role-${index}`, "Project:x");
    const hints = [0, 1, 2, 3, 4].map((index) => `the policy has no role \`role-${index}\` of \`Project\``);
    expect(hintsOf(project, manyOf(role))).toEqual({ hints, searches: 5 });
  });

  test("searches few types if a rule accepts any", () => {
    const role = (type: string) => fact("has_role", "User:ann", "String:reader", `${type}:x`);
    const { hints, searches } = hintsOf(
      withAnyType,
      manyOf((index) => role(`Another${index}`)),
    );
    expect(hints).toEqual([]);
    expect(searches).toBeLessThanOrEqual(20);
    expect(hintsOf(withAnyType, [role("Another"), role("Projct")]).hints).toEqual([
      "the policy has no type `Projct`: did you mean `Project`?",
    ]);
  });
});

describe("a policy", () => {
  const types = Array.from({ length: 50 }, (_, index) => `Type${index}`);

  test("is read a few times, however many types the unknown names have", () => {
    const blocks = types.map(
      (type) => `resource ${type} { roles = ["member"]; permissions = ["read"]; "read" if "member"; }`,
    );
    const active = activate(`actor User {} ${blocks.join(" ")}`, null);
    let reads = 0;
    const counted: ActivePolicy = {
      ...active,
      program: {
        ...active.program,
        get rules() {
          reads += 1;
          return active.program.rules;
        },
      },
    };
    for (const type of types) {
      const call = { predicate: "has_role", args: [{ type: "User" }, { type: "String", id: "membr" }, { type }] };
      const hint = `the policy has no role \`membr\` of \`${type}\`: did you mean \`member\`?`;
      expect(unknownNames(call, counted)).toEqual([hint]);
      expect(unknownNamesInFacts([fact("has_role", "User:ann", "String:membr", `${type}:x`)], counted)).toEqual([hint]);
    }
    expect(reads).toBeLessThanOrEqual(3);
  });

  test("searches the name that is similar to an unknown one once", () => {
    const known = knownNames(activate(project, null));
    const names = new Set(["member", "owner"]);
    using iterations = spyOn(names, Symbol.iterator);
    for (const _ of [1, 2, 3]) {
      expect(known.mostSimilar("membr", { key: "some", names })).toBe("member");
      expect(known.mostSimilar("nothing", { key: "some", names })).toBeUndefined();
    }
    expect(iterations).toHaveBeenCalledTimes(2);
    expect(known.mostSimilar("membr", { key: "others", names: new Set(["membra"]) })).toBe("membra");
  });
});

function manyOf(make: (index: number) => AskedCall): AskedCall[] {
  return Array.from({ length: 10_000 }, (_, index) => make(index));
}

function hintsOf(source: string, facts: readonly AskedCall[]): { hints: readonly string[]; searches: number } {
  using searches = spyOn(KnownNames.prototype, "mostSimilar");
  const hints = unknownNamesInFacts(facts, activate(source, null));
  return { hints, searches: searches.mock.calls.length };
}
