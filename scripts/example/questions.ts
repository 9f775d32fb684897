/** The queries of the example with their expected answers, which follow from `facts.ts` and `policy.polar`. */
import { typedVar, type Oso } from "oso-cloud";
import { Folder, Issue, Organization, Repository, Team, User } from "./facts.ts";

export type Answer = boolean | readonly string[];

export interface Question {
  readonly text: string;
  readonly why: string;
  readonly ask: (oso: Oso) => Promise<Answer>;
  readonly expected: Answer;
}

type Typed = { readonly type: string; readonly id: string };

export const questions: readonly Question[] = [
  may(User("alice"), "delete", Repository("compiler"), true, "owner of the organization, three folders above"),
  may(User("bob"), "write", Repository("compiler"), true, "his team's parent may write in the folder"),
  may(User("bob"), "write", Repository("kernel"), false, "engineering only reads there"),
  may(User("carol"), "read", Repository("website"), true, "it is public"),
  may(User("carol"), "read", Repository("compiler"), false, "nothing leads her there"),
  may(User("mallory"), "read", Repository("website"), false, "banned, though owner and though it is public"),
  may(User("carol"), "close", Issue("typo"), true, "she opened it"),
  may(User("bob"), "comment", Issue("flamewar"), false, "the issue is locked"),
  may(User("dave"), "write", Repository("kernel"), true, "contractor until 2100"),
  may(User("frank"), "write", Repository("kernel"), false, "his contract ended in 2020"),
  may(User("oscar"), "read", Repository("compiler"), false, "owner of another organization"),
  {
    text: "which repositories may User:bob write?",
    why: "what lies in the folder of his teams",
    ask: async (oso) => sorted(await oso.list(User("bob"), "write", "Repository")),
    expected: ["compiler", "linker"],
  },
  {
    text: "what may User:erin do with Repository:website?",
    why: "reader through her team, no more",
    ask: async (oso) => sorted(await oso.actions(User("erin"), Repository("website"))),
    expected: ["open_issue", "read"],
  },
  {
    text: "may User:grace create_repository in Folder:acme/src/tools, were she in Team:parsers?",
    why: "a fact that travels with the question and is never stored",
    ask: (oso) =>
      oso.authorize(User("grace"), "create_repository", Folder("acme/src/tools"), [
        ["has_role", User("grace"), "member", Team("parsers")],
      ]),
    expected: true,
  },
  {
    text: "who may delete Organization:acme?",
    why: "mallory is an owner too, but banned",
    ask: async (oso) => {
      const user = typedVar("User");
      return sorted(await oso.buildQuery(["allow", user, "delete", Organization("acme")]).evaluate(user));
    },
    expected: ["alice"],
  },
  {
    text: "may User:sue create_organization?",
    why: "support staff, a role that belongs to no resource",
    ask: (oso) => oso.buildQuery(["allow", User("sue"), "create_organization"]).evaluate(),
    expected: true,
  },
];

function may(actor: Typed, action: string, resource: Typed, expected: boolean, why: string): Question {
  return {
    text: `may ${actor.type}:${actor.id} ${action} ${resource.type}:${resource.id}?`,
    why,
    ask: (oso) => oso.authorize(actor, action, resource),
    expected,
  };
}

const sorted = (ids: readonly string[]): readonly string[] => [...ids].sort();
