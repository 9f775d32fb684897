/** Policies that one thread compiles for others: what arrives is what `activate` would have compiled. */
import { describe, expect, test } from "bun:test";
import {
  activate,
  adoptCompiled,
  type ActivePolicy,
  compileAccepted,
  isCompiled,
} from "../../src/policy/active-policy.ts";
import { packPolicy, unpackPolicy } from "../../src/policy/packed-policy.ts";
import { storedText } from "../../src/policy/stored-policy.ts";
import { must } from "../../src/util/assert.ts";
import { policyTexts } from "../polar/texts.ts";

const source = `actor User {}
resource Folder { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }`;

describe("an unpacked policy", () => {
  const policies = policyTexts().flatMap((text) => {
    try {
      return [compileAccepted(text, "policy.polar")];
    } catch {
      return [];
    }
  });

  test("has the same rules, types and indexes", () => {
    expect(policies.length).toBeGreaterThan(200);
    for (const active of policies)
      expect(descriptionOf(unpackPolicy(packPolicy(active)))).toEqual(descriptionOf(active));
  });

  test("leaves out nothing that is no data", () => {
    const kinds = new Set<string>();
    const { universe: _universe, signatures: _signatures, program, ...data } = must(policies[0]);
    for (const value of [data, program.rules, ...policies.map(({ policy }) => policy)]) addKinds(value, kinds);
    expect([...kinds].sort()).toEqual(["Array", "Map", "Object", "Set"]);
  });
});

/** The data, and what the classes and functions answer. */
function descriptionOf({ universe, program, signatures, ...data }: ActivePolicy) {
  const types = [...data.types, "Actor", "Resource", "NoSuchType"];
  return {
    data,
    rules: program.rules,
    concrete: types.map((type) => universe.concrete(type)),
    heads: [...program.heads].map(([predicate, index]) => [
      predicate,
      types.map((type) =>
        ["reader", "read", undefined].map((id) => [
          index.candidates([{ types: new Set([type]), id }]),
          index.candidates([
            { types: undefined, id: undefined },
            { types: new Set(["String"]), id },
          ]),
        ]),
      ),
    ]),
    signatures: [...signatures].map(([predicate, list]) => [
      predicate,
      list.all(),
      types.map((type) => list.candidates(() => [{ types: new Set([type]), id: undefined }])),
    ]),
  };
}

function addKinds(value: unknown, kinds: Set<string>, seen = new Set<unknown>()): void {
  if (typeof value === "function") kinds.add("Function");
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  kinds.add((Object.getPrototypeOf(value) as object).constructor.name);
  const inside = value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : [];
  for (const part of [...inside, ...Object.values(value)]) addKinds(part, kinds, seen);
}

describe("a policy that was compiled ahead", () => {
  const adopt = (text: string, filename: string | null): void =>
    adoptCompiled(text, filename, unpackPolicy(packPolicy(compileAccepted(text, filename))));

  test("is found by its source, also with a trailer, and has that text", () => {
    const text = `${source} # trailer`;
    expect(isCompiled(text, "a.polar")).toBe(false);
    adopt(text, "a.polar");
    expect(isCompiled(text, "a.polar")).toBe(true);
    const whole = storedText(7, { source: text, author: { id: "k1", name: "Zoë" }, message: "why\nnot" });
    const { policy, sources } = activate(whole, "a.polar");
    expect(policy).toBe(activate(text, "a.polar").policy);
    expect(sources).toEqual([{ name: "a.polar", text: whole }]);
  });

  test("is no other policy that begins with it, and has another file name", () => {
    adopt(source, "b.polar");
    expect(isCompiled(source, null)).toBe(false);
    for (const more of [
      "\nallow(_: User, _: String, _: Folder);",
      "\n# ostiary upload {}\nallow(_: User, _: String, _: Folder);",
      "\n# ostiary upload {}\rallow(_: User, _: String, _: Folder);",
      "\n# ostiary upload {}\u2028allow(_: User, _: String, _: Folder);",
      " # ostiary upload {}",
    ])
      expect(isCompiled(source + more, "b.polar")).toBe(false);
  });
});
