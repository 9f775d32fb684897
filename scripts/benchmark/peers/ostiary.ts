import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Fact, Value } from "../../../src/store/facts/fact.ts";
import { Folder, related, role, User } from "../company.ts";
import { openEngine } from "../decisions.ts";
import { question } from "../questions.ts";
import { writeFile } from "../store-file.ts";
import type { Library, Place } from "./library.ts";
import type { Peer } from "./peer.ts";

/** Over a file in the directory, like a node, with the decision cache off. */
export function openOstiary(library: Library, directory: string): Peer {
  const path = join(directory, "library.db");
  writeFile(path, readFileSync(join(import.meta.dirname, "library.polar"), "utf8"), factsOf(library));
  const engine = openEngine(path, "off");
  return {
    name: "Ostiary",
    prepare: (questions) => {
      const asked = questions.map(({ user, document }) => question(User(`${user}`), "view", Document(document)));
      return () => asked.map((one) => engine.authorize(one));
    },
    close: () => engine.close(),
  };
}

const Document = (index: number): Value => ({ type: "Document", id: String(index) });
const Group = (index: number): Value => ({ type: "Group", id: String(index) });

function factsOf({ groupsOf, folders, documents }: Library): Fact[] {
  return [
    ...groupsOf.flatMap((groups, user) => groups.map((group) => role(User(`${user}`), "member", Group(group)))),
    ...folders.flatMap((place, index) => placeFacts(Folder(`${index}`), "parent", place)),
    ...documents.flatMap((place, index) => placeFacts(Document(index), "folder", place)),
  ];
}

const placeFacts = (own: Value, relation: string, { above, users, groups }: Place): Fact[] => [
  ...(above === undefined ? [] : [related(own, relation, Folder(`${above}`))]),
  ...users.map((user) => role(User(`${user}`), "viewer", own)),
  ...groups.map((group) => related(own, "viewers", Group(group))),
];
