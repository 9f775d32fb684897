/** Equal ids of different types are different values, also in each cache that finds the symbol of a value. */
import { expect, test } from "bun:test";
import { insertion, openLiveEngine } from "../cases/engine-target.ts";
import { fact, policy } from "./store.ts";

const source = `actor User {}
  actor Team {}
  resource Repo { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }
`;
const isReader = (actor: string, repo: string) => fact("has_role", actor, "String:reader", `Repo:${repo}`);

test("only the actor and the resource with this type and id are found", () => {
  using opened = openLiveEngine(1, {});
  opened.apply(policy(source));
  // `User:1` is the second one of its type, and `Team:1` the first one.
  opened.apply(insertion([isReader("User:2", "2"), isReader("User:1", "1")]));
  opened.apply(insertion([isReader("Team:1", "3"), isReader("Team:2", "1")]));
  const readers = (contextFacts: Parameters<typeof opened.asking>[0], ids: readonly string[]): string[] =>
    ids.flatMap((id) =>
      ["User", "Team"].flatMap((type) =>
        ids.flatMap((repo) => {
          const check = { actor: { type, id }, action: "read", resource: { type: "Repo", id: repo } };
          return opened.asking(contextFacts).authorize(check) ? `${type}:${id} Repo:${repo}` : [];
        }),
      ),
    );
  expect(readers([], ["1", "2", "3"])).toEqual(["User:1 Repo:1", "Team:1 Repo:3", "User:2 Repo:2", "Team:2 Repo:1"]);
  // Values that only the request has.
  expect(readers([isReader("Team:9", "9"), isReader("User:8", "9")], ["8", "9"])).toEqual([
    "User:8 Repo:9",
    "Team:9 Repo:9",
  ]);
});
