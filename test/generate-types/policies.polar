# --- nothing at all
# A policy of no statements still has types that the client takes.
# --- only declared facts
declare is_weird(Integer, String, Boolean);
declare has_tag(Resource, Tag);
actor User {}
resource Doc {}
# --- facts but nothing to ask
actor User {}
resource Doc { roles = ["owner"]; relations = { parent: Doc }; }
declare has_role(User, String, Doc);
# --- a predicate that is only a head is asked, not stored
actor User {}
resource Org {}
has_default_role(_: Org, "member");
has_default_role(Org{"acme"}, "admin");
# --- global roles and permissions
global {
  roles = ["superadmin", "auditor"];
  permissions = ["create_org"];
  "create_org" if "superadmin";
  "auditor" if "superadmin";
}
actor User {}
resource Org {
  roles = ["admin"];
  permissions = ["delete"];
  "admin" if global "superadmin";
  "delete" if "admin" and global "create_org";
}
# --- integers, booleans, typed literals and the clock
actor User {}
resource Plan {}
resource Doc {
  permissions = ["read", "print"];
  "read" if is_public(resource, true);
  "read" if is_public(resource, true) and level(resource, 2);
  "print" if level(resource, 10) and on_plan(actor, Plan{"pro"});
}
has_permission(user: User, "read", doc: Doc) if
  expires(user, doc, time) and @current_unix_time < time and seen(doc, @current_unix_time);
quota(Plan{"pro"}, 10, String{"docs"});
# --- a variable opens what literals narrowed
actor User {}
resource Team {}
resource Doc {
  roles = ["reader", "writer"];
  permissions = ["read"];
  "read" if "reader" or "writer";
}
has_role(user: User, role: String, doc: Doc) if
  team matches Team and in_team(user, team) and team_role(team, role, doc);
has_role(user: User, role: String, doc: Doc) if
  other matches Doc and copy_of(doc, other) and has_role(user, role, other);
# --- names narrowed by a list
actor User {}
resource Doc { permissions = ["read", "write", "share"]; }
has_permission(user: User, action: String, doc: Doc) if
  action in ["read", "write"] and grade in ["a", "b"] and has_grade(user, grade) and has_role(user, "member", doc);
# --- a role of every folder
actor User {}
resource Folder { roles = ["reader"]; }
resource Doc {
  roles = ["reader"];
  permissions = ["read", "share"];
  relations = { folder: Folder, owner: User };
  role if role on "folder";
  permission if "owner";
  "read" if "reader";
}
# --- untyped variables are of any type
actor User {}
resource Doc { permissions = ["read"]; }
allow(user, action, resource) if has_permission(user, action, resource) and not is_banned(user);
has_permission(user: User, "read", doc: Doc) if owns(user, doc) and tagged(doc, tag) and liked(tag, user);
# --- allow of the policy's own, with the default one gone
actor User {}
resource Doc {
  roles = ["reader"];
  permissions = ["read", "write"];
  "read" if "reader";
  "write" if "reader";
}
allow(user: User, "read", doc: Doc) if has_permission(user, "read", doc);
allow(admin: User, action: String, doc: Doc) if
  user matches User and impersonates(admin, user) and has_permission(user, action, doc);
# --- fields
actor User {}
resource Field {}
resource Account { roles = ["owner"]; permissions = ["read"]; "read" if "owner"; }
allow_field(user: User, "read", account: Account, Field{"name"}) if has_permission(user, "read", account);
allow_field(user: User, action: String, account: Account, field: Field) if
  field_grant(user, action, account, field);
# --- what is stored for a permission reaches allow
actor User {}
resource Doc {
  permissions = ["read", "comment", "edit"];
  "comment" if "read";
}
# --- roles as objects
actor User {}
resource Org {}
resource Role {}
has_permission(user: User, action: String, org: Org) if
  role matches Role and has_role(user, role, org) and grants_permission(role, action);
# --- several actors, and a type above two
actor User {}
actor Bot {}
resource Item { roles = ["owner"]; permissions = ["view"]; relations = { parent: Item }; "view" if "owner"; }
resource Doc extends Item { "owner" if "owner" on "parent"; }
resource Image extends Item {}
has_role(user: User, "owner", item: Item) if item matches! Doc and made(user, item);
# --- relations to actors
actor User { relations = { boss: User }; roles = ["manager"]; "manager" if "boss"; "manager" if "manager" on "boss"; }
resource Doc { permissions = ["sign"]; relations = { author: User }; "sign" if "manager" on "author"; "sign" if "author"; }
# --- types that no block declares
actor User {}
has_permission(user: User, "use", tool: Tool) if has_tool(user, tool) and not broken(tool);
# --- under not, also nested
actor User {}
resource Doc {}
can_see(user: User, doc: Doc) if
  opened(doc) and not (role matches String and requires_role(doc, role) and not holds_role(user, role));
can_hide(user: User, doc: Doc) if owns(user, doc) and not is_locked(doc, "hard") and not is_locked(doc, "soft");
# --- values that only occur together stay together
actor User {}
resource Doc {}
reads(user: User, doc: Doc) if tag(doc, "colour", "red") and tag(doc, "size", "small") and likes(user);
reads(user: User, doc: Doc) if tag(doc, "colour", "blue") and likes(user);
# --- what another tuple covers is left out
actor User {}
resource Doc {}
reads(user: User, doc: Doc) if seen(doc) and seen(Doc{"intro"}) and seen_by(user, thing) and seen_by(user, doc);
# --- more or fewer arguments than a fact has
actor User {}
resource Doc {}
six(a: User, b: User, c: User, d: User, e: User, f: User) if links(a, b, c, d, e) and wide(a, b, c, d, e, f);
is_open() if today(1);
reads(user: User, doc: Doc) if six(user, user, user, user, user, user) and is_open() and owns(user, doc);
# --- names that need care
actor ns::User {}
resource Straße {
  roles = ["he said \"hi\"", "back\\slash", "line\nbreak"];
  permissions = ["*/", "`${1}`"];
  relations = { __proto__: __proto__, constructor: Straße };
  "*/" if "he said \"hi\"" and is_ok?(resource, "\t");
  "`${1}`" if "back\\slash" or "line\nbreak" on "constructor";
}
resource __proto__ {}
