/** Resolving requested changes into effects. */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import type { FactChange } from "../../src/log/event/event.ts";
import { resolveChanges } from "../../src/log/state/resolve.ts";
import type { FactPattern } from "../../src/store/facts/fact.ts";
import { fact, inserted, policy, storeWith } from "./store.ts";

const source = `
  actor User {}
  resource Repo { roles = ["member", "owner"]; permissions = ["read"]; "read" if "member"; "read" if "owner"; }
  has_permission(user: User, "rate", repo: Repo) if stars(repo, count) and count > 3 and watches(user, repo);
  declare noted(Repo, Boolean);
`;
const ann = fact("has_role", "User:ann", "String:member", "Repo:a");
const bob = fact("has_role", "User:bob", "String:member", "Repo:a");
const anyone = (role: string, repo: string | null): FactPattern => ({
  predicate: "has_role",
  args: [
    { type: "User", id: null },
    { type: "String", id: role },
    { type: "Repo", id: repo },
  ],
});

describe("the net effect", () => {
  test.each<[string, FactChange[], string[], string[]]>([
    ["an insert", [{ inserts: [bob] }], ["bob"], []],
    ["an insert of what is there", [{ inserts: [ann] }], [], []],
    ["the same insert twice", [{ inserts: [bob, bob] }], ["bob"], []],
    ["a delete", [{ deletes: [ann] }], [], ["ann"]],
    ["a delete of what is not there", [{ deletes: [bob] }], [], []],
    [
      "an insert, then a wildcard delete of it",
      [{ inserts: [bob] }, { deletes: [anyone("member", null)] }],
      [],
      ["ann"],
    ],
    ["a wildcard delete, then an insert", [{ deletes: [anyone("member", "a")] }, { inserts: [ann] }], [], []],
    ["a wildcard that covers nothing", [{ deletes: [anyone("owner", null)] }], [], []],
  ])("of %s", (_, changes, added, removed) => {
    const effect = resolveChanges(storeWith(policy(source), inserted(ann)), changes);
    expect(effect.inserted.map(({ args }) => args[0]?.id)).toEqual(added);
    expect(effect.deleted.map(({ args }) => args[0]?.id)).toEqual(removed);
  });
});

describe("refused", () => {
  test.each([
    ["a predicate that no rule uses", fact("has_rol", "User:ann", "String:member", "Repo:a"), "is not used in policy"],
    [
      "a type that the policy does not use there",
      fact("has_role", "User:ann", "String:member", "Org:a"),
      "`has_role(User, String, Repo)`",
    ],
    ["too few arguments", fact("has_role", "User:ann", "String:member"), "is not used in policy"],
    [
      "a permission that no head names",
      fact("has_permission", "User:ann", "String:raed", "Repo:a"),
      'has_permission(User, "raed", Repo) is not used in policy; the policy uses `has_permission(User, "read", Repo)`, `has_permission(User, "rate", Repo)`',
    ],
    [
      "a type that no head has",
      fact("has_permission", "Bot:b", "String:read", "Repo:a"),
      'has_permission(Bot, "read", Repo) is not used in policy; the policy uses `has_permission(User, "read", Repo)`',
    ],
    [
      "an implicit `allow`",
      fact("allow", "User:ann", "String:read", "Repo:a"),
      'allow(User, "read", Repo) is not used in policy. Help',
    ],
    ["six arguments", fact("has_role", "A:1", "A:2", "A:3", "A:4", "A:5", "A:6"), "facts hold 1 to 5"],
    ["the id of wildcards", fact("has_role", "User:*", "String:member", "Repo:a"), "has the id `*`"],
    ["an empty id", fact("has_role", "User:", "String:member", "Repo:a"), "empty type or id"],
    ["an invalid integer", fact("stars", "Repo:a", "Integer:4.5"), "not a 64-bit integer"],
    ["an integer in another form", fact("stars", "Repo:a", "Integer:04"), "not a 64-bit integer"],
    ["an integer too large", fact("stars", "Repo:a", "Integer:9223372036854775808"), "not a 64-bit integer"],
    ["a lone surrogate", fact("has_role", "User:a\ud801", "String:member", "Repo:a"), "lone surrogate"],
    ["the character U+0000", fact("has_role", "User:a\0", "String:member", "Repo:a"), "U+0000"],
    ["an invalid boolean", fact("noted", "Repo:a", "Boolean:yes"), "not a boolean"],
    ["an id too long", fact("has_role", `User:${"x".repeat(5000)}`, "String:member", "Repo:a"), "bytes long"],
  ])("%s", (_, wrong, message) => {
    expect(() => resolveChanges(storeWith(policy(source)), [{ inserts: [wrong] }])).toThrow(message);
  });

  test("any fact before a policy is loaded", () => {
    expect(() => resolveChanges(storeWith(), [{ inserts: [ann] }])).toThrow("no policy is loaded yet");
  });

  test("a wildcard that matches too many facts", () => {
    const store = storeWith(policy(source), inserted(ann, bob));
    const limits = { ...defaultLimits, wildcardDeleteFactsMax: 1 };
    expect(() => resolveChanges(store, [{ deletes: [anyone("member", null)] }], limits)).toThrow("more than 1 facts");
  });

  test("but not one that matches few enough facts after an earlier change", () => {
    const store = storeWith(policy(source), inserted(ann, bob));
    const limits = { ...defaultLimits, wildcardDeleteFactsMax: 1 };
    const effect = resolveChanges(store, [{ deletes: [ann] }, { deletes: [anyone("member", null)] }], limits);
    expect(effect.deleted.map(({ args }) => args[0]?.id)).toEqual(["ann", "bob"]);
  });

  test("but neither integers at the ends of their range, nor declared facts, nor facts that a head names", () => {
    const facts = [
      fact("has_permission", "User:ann", "String:read", "Repo:a"),
      fact("has_permission", "User:ann", "String:rate", "Repo:a"),
      fact("stars", "Repo:a", "Integer:9223372036854775807"),
      fact("stars", "Repo:a", "Integer:-9223372036854775808"),
      fact("noted", "Repo:a", "Boolean:true"),
    ];
    expect(resolveChanges(storeWith(policy(source)), [{ inserts: facts }]).inserted).toEqual(facts);
  });
});
