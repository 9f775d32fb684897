/** Programs against the types of a policy: lines that must compile, and lines that must not. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";

export interface Usage {
  readonly policy: string;
  readonly right: readonly string[];
  readonly wrong: readonly string[];
}

const documents: Usage = {
  policy: `
    global { roles = ["admin"]; permissions = ["create"]; "create" if "admin"; }
    actor User {}
    actor Bot {}
    resource Folder { roles = ["reader"]; }
    resource Document {
      roles = ["reader", "writer"];
      permissions = ["read", "write"];
      relations = { folder: Folder, owner: User };
      "reader" if "reader" on "folder";
      "read" if "reader" or "writer";
      "write" if "writer" and not_frozen(resource);
      "writer" if "owner";
      "write" if global "admin";
    }
    not_frozen(document: Document) if is_frozen(document, false);
    allow_field(user: User, "read", document: Document, Field{"title"}) if has_permission(user, "read", document);`,
  right: [
    'const user = { type: "User", id: String(1) } as const, bot = { type: "Bot", id: "b" } as const;',
    'const document = { type: "Document", id: "d" } as const, folder = { type: "Folder", id: "f" } as const;',
    'await oso.insert(["has_role", user, "reader", document]);',
    'await oso.insert(["has_role", bot, { type: "String", id: "writer" }, document]);',
    'await oso.insert(["has_role", user, "admin"]);',
    'await oso.insert(["has_relation", document, "folder", folder]);',
    'await oso.insert(["has_relation", document, "owner", user]);',
    'await oso.insert(["is_frozen", document, false]);',
    'await oso.delete(["has_role", user, null, document]);',
    'await oso.delete(["has_role", { type: "User" }, null, { type: "Document" }]);',
    'await oso.batch((tx) => { tx.insert(["has_role", user, "reader", folder]); tx.delete(["is_frozen", document, null]); });',
    'export const facts = await oso.get(["has_role", user, null, document]);',
    'facts satisfies ["has_role", { type: "User" }, { type: "String"; id: "reader" | "writer" }, { type: "Document" }][];',
    'export const may: boolean = await oso.authorize(user, "read", document);',
    'await oso.authorize(bot, "write", document, [["has_role", bot, "writer", document]]);',
    'export const ids: string[] = await oso.list(user, "read", "Document");',
    'await oso.listPaginated(user, "write", "Document", 100);',
    "export const actions = await oso.actions(user, document);",
    'actions satisfies ("read" | "write")[];',
    'await oso.buildQuery(["allow", user, action, document]).evaluate(action);',
    'await oso.buildQuery(["allow", user, "create"]).evaluate();',
    'const found = typedVar("Document"), field = typedVar("Field");',
    'await oso.buildQuery(["allow", user, "read", found]).and(["has_relation", found, "folder", folder]).evaluate(found);',
    'await oso.buildQuery(["allow_field", user, "read", document, field]).evaluate(field);',
    'await oso.buildQuery(["has_role", user, "writer", found]).withContextFacts([["has_relation", document, "owner", user]]).evaluate();',
    'export const role: PolarTypes["resources"]["Document"]["roles"] = "reader";',
    'export const globalRole: PolarTypes["resources"]["global"]["roles"] = "admin";',
    'export const related: PolarTypes["resources"]["Document"]["relations"][] = ["folder", "owner"];',
    'export const type: Resources = "Folder";',
  ],
  wrong: [
    'await oso.insert(["has_role", user, "raeder", document]);',
    'await oso.insert(["has_role", user, "writer", folder]);',
    'await oso.insert(["has_role", folder, "reader", document]);',
    'await oso.insert(["has_role", user, "reader"]);',
    'await oso.insert(["has_role", user, "reader", document, document]);',
    'await oso.insert(["has_rule", user, "reader", document]);',
    'await oso.insert(["has_relation", folder, "folder", document]);',
    'await oso.insert(["has_relation", document, "owner", bot.id]);',
    'await oso.insert(["is_frozen", document, true]);',
    'await oso.insert(["is_frozen", document, "false"]);',
    'await oso.insert(["allow", user, "read", document]);',
    'await oso.insert(["has_permission", bot, "read", document]);',
    'await oso.delete(["has_role", { type: "Usr" }, null, document]);',
    'await oso.batch((tx) => { tx.insert(["has_role", user, "owner", document]); });',
    'await oso.get(["has_roles"]);',
    'await oso.authorize(user, "raed", document);',
    'await oso.authorize(user, "read", folder);',
    'await oso.authorize(user, "create", document);',
    'await oso.authorize(document, "read", document);',
    'await oso.authorize(bot, "write", document, [["has_role", bot, "owner", document]]);',
    'await oso.list(user, "read", "Folder");',
    "await oso.actions(user, folder);",
    'actions satisfies "read"[];',
    'await oso.buildQuery(["allow", user, action, folder]).evaluate(action);',
    'await oso.buildQuery(["allow_field", user, "write", document, field]).evaluate();',
    'await oso.buildQuery(["allow_fields", user, "read", document, field]).evaluate();',
    'await oso.buildQuery(["allow", user, "read", found]).and(["has_relation", found, "parent", folder]).evaluate();',
    'export const noRole: PolarTypes["resources"]["Document"]["roles"] = "owner";',
    'export const noRelation: PolarTypes["resources"]["Folder"]["relations"] = "folder";',
    'export const noType: Resources = "Field";',
  ],
};

const openPlaces: Usage = {
  policy: `
    actor User {}
    resource Role {}
    resource Org { roles = ["member"]; permissions = ["view"]; "view" if "member"; }
    resource Team { roles = ["member"]; relations = { org: Org }; role if role on "org"; }
    has_permission(user: User, action: String, org: Org) if
      role matches Role and has_role(user, role, org) and grants_permission(role, action);
    has_permission(user: User, "view", org: Org) if quota(org, size, limit) and size < limit and is_open(org, true);
    can_see(user: User, thing) if not is_hidden(thing) and knows(user, thing);
    declare is_open(Org, Boolean);`,
  right: [
    'const user = { type: "User", id: "u" } as const, org = { type: "Org", id: "o" } as const, team = { type: "Team", id: "t" } as const;',
    "const word: string = String(1), count: number = Number(1), flag: boolean = count > 1;",
    'await oso.insert(["has_role", user, word, org]);',
    'await oso.insert(["has_role", user, { type: "Role", id: word }, org]);',
    'await oso.insert(["grants_permission", { type: "Role", id: word }, word]);',
    'await oso.insert(["quota", org, count, 10n]);',
    'await oso.insert(["is_open", org, flag]);',
    'await oso.insert(["is_hidden", { type: word, id: word }]);',
    'await oso.insert(["is_hidden", 1]);',
    "await oso.authorize(user, word, org);",
    "export const actions: string[] = await oso.actions(user, org);",
    'await oso.list(user, "anything", "Org");',
    'await oso.buildQuery(["has_role", user, action, team]).evaluate(action);',
    'await oso.buildQuery(["can_see", user, typedVar("Whatever")]).evaluate();',
  ],
  wrong: [
    'await oso.insert(["has_role", user, count, org]);',
    'await oso.insert(["has_role", user, word, team]);',
    'await oso.insert(["has_role", user, { type: "Team", id: word }, org]);',
    'await oso.insert(["quota", org, "10", "10"]);',
    'await oso.insert(["is_open", org, "yes"]);',
    "await oso.authorize(user, word, team);",
    'await oso.list(user, "anything", "Team");',
    'await oso.buildQuery(["can_see", org, typedVar("Whatever")]).evaluate();',
  ],
};

const nothing: Usage = {
  policy: "actor User {}",
  right: ['export const type: Resources = "User";', 'const user = { type: "User", id: "u" } as const;'],
  wrong: [
    'await oso.insert(["has_role", user, "reader", user]);',
    'await oso.authorize(user, "read", user);',
    'await oso.buildQuery(["allow", user, "read", user]).evaluate();',
  ],
};

/** The policy of the README, whose own `allow` passes the action on. */
const readme: Usage = {
  policy: readFileSync(join(projectRoot, "scripts", "example", "policy.polar"), "utf8"),
  right: [
    'const ann = { type: "User", id: "ann" } as const, acme = { type: "Organization", id: "acme" } as const;',
    'const loose = { type: "User", id: "ann" };',
    'await oso.insert(["has_role", ann, "owner", acme]);',
    'await oso.authorize(ann, "delete", acme);',
    'await oso.authorize({ type: "User", id: "bob" }, "read", { type: "Organization", id: "acme" });',
    'await oso.list(ann, "read", "Organization");',
    '(await oso.actions(ann, acme)) satisfies ("delete" | "invite" | "read")[];',
    'await oso.authorize(ann, "anything", ann);',
    'await oso.buildQuery(["allow", ann, "create_organization"]).evaluate();',
    'await oso.insert(["has_permission", ann, "read", acme]);',
  ],
  wrong: [
    'await oso.authorize(ann, "delet", acme);',
    'await oso.authorize(ann, "write", acme);',
    'await oso.list(ann, "raed", "Organization");',
    'await oso.list(ann, "read", "Organisation");',
    'await oso.authorize(loose, "delete", acme);',
    'await oso.insert(["has_permission", ann, "delet", acme]);',
  ],
};

/** Own `allow` rules whose actions are data, for all types or for some. */
const openActions: Usage = {
  policy: `
    actor User {}
    resource Org { permissions = ["read", "audit"]; roles = ["member"]; "read" if "member"; }
    resource Doc { permissions = ["view"]; roles = ["reader"]; "view" if "reader"; }
    has_permission(user: User, action: String, doc: Doc) if grants(user, action, doc);
    allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and is_active(user);
    allow(user: User, "root", _org: Org) if is_root(user);`,
  right: [
    'const user = { type: "User", id: "u" } as const, org = { type: "Org", id: "o" } as const, doc = { type: "Doc", id: "d" } as const;',
    'await oso.authorize(user, "read", org);',
    'await oso.authorize(user, "audit", org);',
    'await oso.authorize(user, "root", org);',
    'await oso.authorize(user, "anything", doc);',
    'await oso.insert(["has_permission", user, "anything", doc]);',
  ],
  wrong: ['await oso.authorize(user, "raed", org);', 'await oso.insert(["has_permission", user, "root", org]);'],
};

const ownAllow: Usage = {
  policy: `
    actor User {}
    resource Document {}
    allow(user: User, "read", document: Document) if is_public(document);`,
  right: [
    'const user = { type: "User", id: "u" } as const, document = { type: "Document", id: "d" } as const;',
    'await oso.authorize(user, "read", document);',
    'await oso.insert(["is_public", document]);',
  ],
  wrong: [
    'await oso.authorize(user, "write", document);',
    'await oso.buildQuery(["has_permission", user, "read", document]).evaluate();',
  ],
};

const folders = Array.from(
  { length: 120 },
  (_, n) => `resource R${n} { roles = ["r"]; permissions = ["p"]; "p" if "r"; }`,
);

/** Past the size at which sets of types stay together. */
const manyTypes: Usage = {
  policy: `actor User {}\nactor Bot {}\nactor Guest {}\nactor Crew {}\nactor Robot {}\n${folders.join("\n")}
    near(one: Resource, other: Resource) if touches(one, other);`,
  right: [
    'const user = { type: "User", id: "u" } as const, one = { type: "R7", id: "1" } as const, other = { type: "R119", id: "2" } as const;',
    'await oso.insert(["has_role", user, "r", one]);',
    'await oso.insert(["touches", one, other]);',
    'await oso.insert(["touches", user, other]);',
    'await oso.authorize(user, "p", other);',
    'await oso.list(user, "p", "R0");',
    'await oso.actions(user, one) satisfies "p"[];',
    'await oso.buildQuery(["near", one, typedVar("R3")]).evaluate();',
  ],
  wrong: [
    'await oso.insert(["has_role", user, "q", one]);',
    'await oso.insert(["has_role", one, "r", one]);',
    'await oso.insert(["touches", one, { type: "R120", id: "2" }]);',
    'await oso.authorize(user, "p", user);',
    'await oso.list(user, "p", "R120");',
    'await oso.buildQuery(["near", { type: "R120", id: "1" }, one]).evaluate();',
  ],
};

export const usages: Readonly<Record<string, Usage>> = {
  ...{ documents, openPlaces, nothing, ownAllow, manyTypes, readme, openActions },
};
