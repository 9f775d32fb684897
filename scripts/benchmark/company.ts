/**
 * A code-hosting company of any size, for the policy in `scripts/example`: users in teams and organizations with roles on
 * repositories and folders, public repositories, bans, and roles that expire. The same size and seed give the same facts,
 * all distinct. Facts are generated one by one, because ten million of them do not fit into memory.
 */
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { below, pick, random, type Random } from "./random.ts";

export interface Company {
  readonly size: number;
  readonly seed: number;
  readonly users: number;
  readonly repositories: number;
  readonly organizations: number;
  readonly folders: number;
  readonly teams: number;
}

export const User = (id: string): Value => ({ type: "User", id });
export const Organization = (id: string): Value => ({ type: "Organization", id });
export const Team = (id: string): Value => ({ type: "Team", id });
export const Folder = (id: string): Value => ({ type: "Folder", id });
export const Repository = (id: string): Value => ({ type: "Repository", id });
export const Text = (id: string): Value => ({ type: "String", id });
const Integer = (number: number): Value => ({ type: "Integer", id: String(number) });

export const user = (index: number): Value => User(`user-${index}`);
export const organization = (index: number): Value => Organization(`organization-${index}`);
const team = (index: number): Value => Team(`team-${index}`);
const folder = (index: number): Value => Folder(`folder-${index}`);
export const repository = (index: number): Value => Repository(`repository-${index}`);

export const fact = (predicate: string, ...args: Value[]): Fact => ({ predicate, args });
export const related = (from: Value, relation: string, to: Value): Fact =>
  fact("has_relation", from, Text(relation), to);
export const role = (who: Value, name: string, where: Value): Fact => fact("has_role", who, Text(name), where);

const roles = ["reader", "writer", "admin"];
export const folderDepth = 8;
const teamDepth = 3;

/** A million facts have 100,000 users, 200,000 repositories, 1,000 organizations, 20,000 folders and 5,000 teams. */
export function companyOf(size: number, seed: number): Company {
  const share = (part: number): number => Math.max(2, Math.round(size * part));
  return {
    size,
    seed,
    users: share(0.1),
    repositories: share(0.2),
    organizations: share(0.001),
    folders: share(0.02),
    teams: share(0.005),
  };
}

/** First the entities and their relations, then roles up to the number of facts. */
export function* factsOf(company: Company): Generator<Fact> {
  let left = company.size;
  for (const source of [structure(company, random(company.seed)), grantedRoles(company)]) {
    for (const made of source) {
      if (left-- <= 0) return;
      yield made;
    }
  }
}

export interface Grant {
  readonly user: number;
  readonly role: number;
  readonly place: "repository" | "folder";
  readonly index: number;
}

/** An endless sequence of roles of random users, 80 % on repositories, 20 % on folders, with repetitions. */
export function* grantsOf(company: Company): Generator<Grant> {
  const next = random(company.seed + 1_000_000);
  for (;;) {
    const who = below(next, company.users);
    const place = next() < 0.8 ? "repository" : "folder";
    const index = below(next, place === "repository" ? company.repositories : company.folders);
    yield { user: who, role: below(next, roles.length), place, index };
  }
}

function* grantedRoles(company: Company): Generator<Fact> {
  const places = company.repositories + company.folders;
  const known = new Set<number>();
  for (const { user: who, role: granted, place, index } of grantsOf(company)) {
    // A number needs much less memory than a string.
    const at = place === "repository" ? index : company.repositories + index;
    const key = (who * places + at) * roles.length + granted;
    if (known.has(key)) continue;
    known.add(key);
    yield role(user(who), roles[granted] ?? "reader", place === "repository" ? repository(index) : folder(index));
  }
}

function* structure(company: Company, next: Random): Generator<Fact> {
  yield* folderFacts(company, next);
  yield* teamFacts(company, next);
  for (let index = 0; index < company.repositories; index++) {
    yield related(repository(index), "folder", folder(below(next, company.folders)));
    if (next() < 0.1) yield fact("is_public", repository(index));
  }
  for (let index = 0; index < company.users; index++) yield* userFacts(company, next, user(index));
}

/** Chains: the first folder of each belongs to an organization. */
function* folderFacts(company: Company, next: Random): Generator<Fact> {
  for (let index = 0; index < company.folders; index++) {
    if (index % folderDepth === 0)
      yield related(folder(index), "organization", organization(below(next, company.organizations)));
    else yield related(folder(index), "parent", folder(index - 1));
  }
}

/** Chains as well; each team has a role on two folders. */
function* teamFacts(company: Company, next: Random): Generator<Fact> {
  for (let index = 0; index < company.teams; index++) {
    yield related(team(index), "organization", organization(below(next, company.organizations)));
    if (index % teamDepth !== 0) yield related(team(index), "parent", team(index - 1));
    const first = below(next, company.folders);
    const second = (first + 1 + below(next, company.folders - 1)) % company.folders;
    for (const granted of [first, second])
      yield fact("grants_role", team(index), Text(pick(next, roles)), folder(granted));
  }
}

function* userFacts(company: Company, next: Random, who: Value): Generator<Fact> {
  yield role(who, next() < 0.02 ? "owner" : "member", organization(below(next, company.organizations)));
  if (next() < 0.8) yield role(who, "member", team(below(next, company.teams)));
  if (next() < 0.01) yield fact("is_banned", who);
  if (next() < 0.1) {
    // From 2020 to 2045: some have expired, most have not.
    const ends = Integer(1_600_000_000 + below(next, 800_000_000));
    yield fact("has_role_until", who, Text(pick(next, roles)), repository(below(next, company.repositories)), ends);
  }
}
