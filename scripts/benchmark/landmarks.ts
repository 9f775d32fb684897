/**
 * Questions with answers of known size in the company: chains of folders 1 and 30 deep, users who may write exactly that
 * many repositories, repositories that exactly that many users may write, and users who may do everything to one. The
 * expected answers are also stored as facts that no rule uses: reading them is the baseline for an answer of this size.
 */
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { Folder, Repository, Team, Text, User } from "./company.ts";
import { fact, folderDepth, organization, related, repository, role, type Company } from "./company.ts";
import { question } from "./questions.ts";

export interface Landmarks {
  readonly facts: readonly Fact[];
  readonly depths: readonly Depth[];
  readonly listings: readonly Listing[];
}

export interface Depth {
  readonly folders: number;
  readonly questions: readonly AuthorizeQuestion[];
}

/** Questions of one kind with their expected answers. */
export interface Listing {
  readonly name: string;
  /** The name of its ratio. */
  readonly key: string;
  readonly kind: "list" | "actions" | "who-can";
  readonly asked: readonly Listed[];
}

export interface Listed {
  /** The key of the facts `listed(key, value)`, one for each value of the answer. */
  readonly key: string;
  readonly about: Value;
  readonly answer: readonly Value[];
}

export const listedPredicate = "listed";
const chainsOfEachDepth = 100;

export function landmarksOf(company: Company): Landmarks {
  const facts: Fact[] = [];
  const depths = [1, 30].map((folders) => ({ folders, questions: chains(facts, company, folders) }));
  const listings: readonly Listing[] = [
    { name: "list of 1,000 ids", key: "list_1000", kind: "list", asked: [collector(facts, company, 1000)] },
    { name: "list of 10,000 ids", key: "list_10000", kind: "list", asked: [collector(facts, company, 10_000)] },
    { name: "actions", key: "actions", kind: "actions", asked: chiefs(facts, company) },
    { name: "who can, 1,000 users", key: "who_can_1000", kind: "who-can", asked: [popular(facts, company, 1000)] },
  ];
  for (const { key, answer } of listings.flatMap(({ asked }) => asked))
    for (const value of answer) facts.push(fact(listedPredicate, Text(key), value));
  return { facts, depths, listings };
}

/** The role is on the first folder, the repository in the last; the user is a member like all others. */
function chains(facts: Fact[], company: Company, depth: number): AuthorizeQuestion[] {
  return Array.from({ length: chainsOfEachDepth }, (_, index) => {
    const name = `chain-${depth}-${index}`;
    const walker = User(`walker-${index}`);
    const folders = Array.from({ length: depth }, (_nothing, level) => Folder(`${name}-${level}`));
    joins(facts, company, walker, index);
    facts.push(role(walker, "writer", folders[0] as Value), ...nested(folders));
    facts.push(related(Repository(name), "folder", folders.at(-1) as Value));
    return question(walker, "read", Repository(name));
  });
}

/** Half of the repositories by direct roles, half by a role on the first of eight folders. */
function collector(facts: Fact[], company: Company, count: number): Listed {
  const who = User(`collector-${count}`);
  const folders = Array.from({ length: folderDepth }, (_, level) => Folder(`collected-${count}-${level}`));
  joins(facts, company, who, undefined);
  facts.push(role(who, "writer", folders[0] as Value), ...nested(folders));
  const own = Math.min(count / 2, company.repositories);
  const step = Math.floor(company.repositories / own);
  const answer: Value[] = [];
  for (let index = 0; index < own; index++) answer.push(repository(index * step));
  for (const which of answer) facts.push(role(who, "writer", which));
  for (let index = own; index < count; index++) {
    const which = Repository(`collected-${count}-${index}`);
    facts.push(related(which, "folder", folders[index % folderDepth] as Value));
    answer.push(which);
  }
  return { key: `list-${count}`, about: who, answer };
}

/** Some by a direct role, some by a role on a parent folder, some by their team, some by a nested team. */
function popular(facts: Fact[], company: Company, count: number): Listed {
  const [name, folders] = [`popular-${count}`, [Folder("popular-above"), Folder("popular")]];
  const [above, below] = [Team("popular"), Team("popular-below")];
  facts.push(...nested(folders), related(Repository(name), "folder", folders[1] as Value));
  facts.push(related(below, "parent", above), fact("grants_role", above, Text("writer"), Repository(name)));
  const ways = [
    (fan: Value) => role(fan, "writer", Repository(name)),
    (fan: Value) => role(fan, "admin", folders[0] as Value),
    (fan: Value) => role(fan, "member", above),
    (fan: Value) => role(fan, "member", below),
  ];
  const answer = Array.from({ length: count }, (_, index) => User(`fan-${index}`));
  for (const [index, fan] of answer.entries()) {
    joins(facts, company, fan, undefined);
    facts.push((ways[index % ways.length] as (fan: Value) => Fact)(fan));
  }
  return { key: `who-can-${count}`, about: Repository(name), answer };
}

/** Each is about one repository, which has its name. */
function chiefs(facts: Fact[], company: Company): Listed[] {
  return Array.from({ length: 100 }, (_, index) => {
    const [chief, which] = [User(`chief-${index}`), Repository(`chief-${index}`)];
    joins(facts, company, chief, index);
    facts.push(role(chief, "admin", which), related(which, "folder", Folder(`folder-${index % company.folders}`)));
    return {
      key: `actions-${index}`,
      about: chief,
      answer: ["delete", "open_issue", "read", "write"].map(Text),
    };
  });
}

function joins(facts: Fact[], company: Company, who: Value, team: number | undefined): void {
  facts.push(role(who, "member", organization(who.id.length % company.organizations)));
  if (team !== undefined) facts.push(role(who, "member", Team(`team-${team % company.teams}`)));
}

const nested = (folders: readonly Value[]): Fact[] =>
  folders.slice(1).map((folder, index) => related(folder, "parent", folders[index] as Value));
