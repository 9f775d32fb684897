/**
 * The facts of the example: two organizations, teams three deep, folders three deep, five repositories (one public),
 * issues, two contractors (one whose time is over), and a banned user.
 */
import type { IntoFact } from "oso-cloud";

const value = (type: string) => (id: string) => ({ type, id });

export const User = value("User");
export const Organization = value("Organization");
export const Team = value("Team");
export const Folder = value("Folder");
export const Repository = value("Repository");
export const Issue = value("Issue");
const Integer = value("Integer");

const inTheYear2100 = Integer("4102444800");
const inTheYear2020 = Integer("1577836800");

export const facts: readonly IntoFact[] = [
  // people
  ["has_role", User("alice"), "owner", Organization("acme")],
  ["has_role", User("bob"), "member", Organization("acme")],
  ["has_role", User("mallory"), "owner", Organization("acme")],
  ["is_banned", User("mallory")],
  ["has_role", User("oscar"), "owner", Organization("globex")],
  ["has_role", User("sue"), "support"],

  // teams: parsers < compilers < engineering
  ["has_relation", Team("engineering"), "organization", Organization("acme")],
  ["has_relation", Team("compilers"), "parent", Team("engineering")],
  ["has_relation", Team("parsers"), "parent", Team("compilers")],
  ["has_role", User("bob"), "member", Team("parsers")],
  ["has_role", User("erin"), "maintainer", Team("engineering")],
  ["grants_role", Team("engineering"), "reader", Folder("acme")],
  ["grants_role", Team("compilers"), "writer", Folder("acme/src/tools")],

  // folders: acme > acme/src > acme/src/tools
  ["has_relation", Folder("acme"), "organization", Organization("acme")],
  ["has_relation", Folder("acme/src"), "parent", Folder("acme")],
  ["has_relation", Folder("acme/src/tools"), "parent", Folder("acme/src")],
  ["has_relation", Folder("globex"), "organization", Organization("globex")],

  // repositories
  ["has_relation", Repository("compiler"), "folder", Folder("acme/src/tools")],
  ["has_relation", Repository("linker"), "folder", Folder("acme/src/tools")],
  ["has_relation", Repository("kernel"), "folder", Folder("acme/src")],
  ["has_relation", Repository("website"), "folder", Folder("acme")],
  ["is_public", Repository("website")],
  ["has_relation", Repository("ledger"), "folder", Folder("globex")],

  // issues
  ["has_relation", Issue("typo"), "repository", Repository("website")],
  ["has_relation", Issue("typo"), "creator", User("carol")],
  ["has_relation", Issue("flamewar"), "repository", Repository("website")],
  ["is_locked", Issue("flamewar")],
  ["has_relation", Issue("overflow"), "repository", Repository("compiler")],

  // contractors
  ["has_role_until", User("dave"), "writer", Repository("kernel"), inTheYear2100],
  ["has_role_until", User("frank"), "writer", Repository("kernel"), inTheYear2020],
];
