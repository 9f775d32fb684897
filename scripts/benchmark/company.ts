/**
 * Facts of a company of any size: one whose access leads through teams and folders, for the policy in `scripts/example`, and one with roles
 * on organizations and repositories alone, for `roles.polar`. The same size and seed give the same facts, all of them distinct.
 */
import type { Fact, Value } from "../../src/store/fact.ts";
import { pick, random, type Random } from "./random.ts";

export interface Company {
  readonly facts: readonly Fact[];
  readonly users: readonly string[];
  readonly repositories: readonly string[];
  /** Pairs of a user and a repository on which the user has a role of its own. */
  readonly granted: readonly Pair[];
}

export interface Pair {
  readonly user: string;
  readonly repository: string;
}

const value =
  (type: string) =>
  (id: string): Value => ({ type, id });

const User = value("User");
const Organization = value("Organization");
const Team = value("Team");
const Folder = value("Folder");
const Repository = value("Repository");
const Text = value("String");
const Integer = value("Integer");

const roles = ["reader", "writer", "admin"];
const folderDepth = 8;
const teamDepth = 3;

/**
 * About one fact in ten is a user's, one in five a repository's; there is a folder for every fifty facts (in chains of eight) and a team for
 * every two hundred (in chains of three). All others are roles given to one user on one repository or folder.
 */
export function nestedCompany(size: number, seed: number): Company {
  const next = random(seed);
  const company = new GrowingCompany(size, next);
  const folders = company.names("folder", 0.02);
  const teams = company.names("team", 0.005);
  addFolders(company, next, folders);
  addTeams(company, next, teams, folders);
  for (const name of company.repositories) {
    company.relate(Repository(name), "folder", Folder(pick(next, folders)));
    if (next() < 0.1) company.add("is_public", Repository(name));
  }
  for (const name of company.users) addUser(company, next, User(name), teams);
  while (company.facts.length < size) {
    if (next() < 0.8) company.grant();
    else company.add("has_role", User(pick(next, company.users)), Text(pick(next, roles)), Folder(pick(next, folders)));
  }
  return company;
}

/** As many users, repositories and organizations; every repository belongs to an organization, and all others are roles. */
export function flatCompany(size: number, seed: number): Company {
  const next = random(seed);
  const company = new GrowingCompany(size, next);
  for (const name of company.repositories)
    company.relate(Repository(name), "organization", Organization(pick(next, company.organizations)));
  for (const name of company.users) joinOrganization(company, next, User(name));
  while (company.facts.length < size) company.grant();
  return company;
}

function addFolders(company: GrowingCompany, next: Random, folders: readonly string[]): void {
  folders.forEach((name, index) => {
    const above = index % folderDepth === 0 ? undefined : folders[index - 1];
    if (above !== undefined) company.relate(Folder(name), "parent", Folder(above));
    else company.relate(Folder(name), "organization", Organization(pick(next, company.organizations)));
  });
}

function addTeams(company: GrowingCompany, next: Random, teams: readonly string[], folders: readonly string[]): void {
  teams.forEach((name, index) => {
    const above = index % teamDepth === 0 ? undefined : teams[index - 1];
    company.relate(Team(name), "organization", Organization(pick(next, company.organizations)));
    if (above !== undefined) company.relate(Team(name), "parent", Team(above));
    for (let grants = 0; grants < 2; grants++)
      company.add("grants_role", Team(name), Text(pick(next, roles)), Folder(pick(next, folders)));
  });
}

function addUser(company: GrowingCompany, next: Random, user: Value, teams: readonly string[]): void {
  joinOrganization(company, next, user);
  if (next() < 0.8) company.add("has_role", user, Text("member"), Team(pick(next, teams)));
  if (next() < 0.01) company.add("is_banned", user);
  if (next() < 0.1) {
    const ends = Integer(String(1_600_000_000 + Math.floor(next() * 800_000_000)));
    company.add("has_role_until", user, Text(pick(next, roles)), Repository(pick(next, company.repositories)), ends);
  }
}

function joinOrganization(company: GrowingCompany, next: Random, user: Value): void {
  const role = next() < 0.02 ? "owner" : "member";
  company.add("has_role", user, Text(role), Organization(pick(next, company.organizations)));
}

/** What is known of a company so far. */
class GrowingCompany implements Company {
  readonly facts: Fact[] = [];
  readonly granted: Pair[] = [];
  readonly users: readonly string[];
  readonly repositories: readonly string[];
  readonly organizations: readonly string[];
  readonly #size: number;
  readonly #next: Random;
  readonly #known = new Set<string>();

  constructor(size: number, next: Random) {
    this.#size = size;
    this.#next = next;
    this.users = this.names("user", 0.1);
    this.repositories = this.names("repository", 0.2);
    this.organizations = this.names("organization", 0.001);
  }

  names(prefix: string, share: number): readonly string[] {
    return Array.from({ length: Math.max(2, Math.round(this.#size * share)) }, (_, index) => `${prefix}-${index}`);
  }

  add(predicate: string, ...args: Value[]): void {
    const key = JSON.stringify([predicate, args.map(({ type, id }) => [type, id])]);
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.facts.push({ predicate, args });
  }

  relate(from: Value, relation: string, to: Value): void {
    this.add("has_relation", from, Text(relation), to);
  }

  /** A random role of a random user on a random repository. */
  grant(): void {
    const user = pick(this.#next, this.users);
    const repository = pick(this.#next, this.repositories);
    this.add("has_role", User(user), Text(pick(this.#next, roles)), Repository(repository));
    this.granted.push({ user, repository });
  }
}
