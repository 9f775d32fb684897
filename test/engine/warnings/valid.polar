# --- 1 shorthand alone
actor User {}
resource Org { roles = ["owner", "member"]; permissions = ["view", "edit"]; "member" if "owner"; "view" if "member"; "edit" if "owner"; }
# --- 2 longhand alone, with blocks that declare nothing
actor User {}
resource Org {}
has_permission(user: User, "view", org: Org) if has_role(user, "member", org);
has_permission(user: User, "edit", org: Org) if has_role(user, "owner", org) and not has_role(user, "suspended", org);
# --- 3 longhand without a block for a resource
actor User {}
allow(user: User, "read", "everything") if is_admin(user);
# --- 4 roles handed down a relation
actor User {}
resource Org { roles = ["admin"]; permissions = ["view"]; "view" if "admin"; }
resource Repo { roles = ["reader"]; permissions = ["view"]; relations = { org: Org }; role if role on "org"; "view" if "reader"; }
has_permission(user: User, "view", repo: Repo) if has_role(user, "admin", repo);
# --- 5 all permissions for owners
actor User {}
resource Doc { permissions = ["view"]; relations = { owner: User }; permission if "owner"; }
may_export(user: User, doc: Doc) if has_permission(user, "export", doc);
allow_export(user: User, doc: Doc) if may_export(user, doc);
# --- 6 subtypes: names of a supertype
actor User {}
resource Item { roles = ["owner"]; permissions = ["view"]; "view" if "owner"; }
resource Doc extends Item { permissions = ["print"]; }
has_permission(user: User, "print", doc: Doc) if has_role(user, "owner", doc);
# --- 7 subtypes: names of a subtype asked for above
actor User {}
resource Item { roles = ["owner"]; permissions = ["view"]; "view" if "owner"; }
resource Doc extends Item { roles = ["editor"]; }
has_permission(user: User, "view", item: Item) if has_role(user, "editor", item);
# --- 8 two supertypes
actor User {}
resource Owned { roles = ["owner"]; }
resource Shared { roles = ["guest"]; }
resource Doc extends Owned, Shared { permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if has_role(user, "owner", doc) or has_role(user, "guest", doc);
# --- 9 any resource
actor User {}
resource Org { roles = ["member"]; permissions = ["view"]; }
resource Doc { roles = ["owner"]; permissions = ["view", "edit"]; }
has_permission(user: User, "view", resource: Resource) if has_role(user, "member", resource) or has_role(user, "owner", resource);
has_permission(user: User, "edit", resource) if has_role(user, "owner", resource);
# --- 10 narrowed in each alternative
actor User {}
resource Org { roles = ["member"]; permissions = ["view"]; }
resource Doc { roles = ["owner"]; permissions = ["view"]; }
has_permission(user: User, "view", x: Resource) if
  (x matches Org and has_role(user, "member", x)) or (x matches Doc and has_role(user, "owner", x));
# --- 11 a name in a list that two types share
actor User {}
resource Org { roles = ["admin", "member"]; permissions = ["view"]; "view" if "admin" or "member"; }
resource Doc { roles = ["owner"]; permissions = ["view"]; relations = { org: Org }; }
has_permission(user: User, "view", doc: Doc) if
  has_relation(doc, "org", org) and org matches Org and role in ["owner", "admin"] and
  (has_role(user, role, doc) or has_role(user, role, org));
# --- 12 a derived relation that no block declares
actor User {}
resource Folder { roles = ["viewer"]; permissions = ["view"]; relations = { parent: Folder }; "view" if "viewer"; }
has_relation(low: Folder, "above", high: Folder) if has_relation(low, "parent", high);
has_relation(low: Folder, "above", high: Folder) if
  middle matches Folder and has_relation(low, "parent", middle) and has_relation(middle, "above", high);
has_permission(user: User, "view", low: Folder) if
  high matches Folder and has_relation(low, "above", high) and has_role(user, "viewer", high);
# --- 13 a derived role that no block declares, under not
actor User {}
resource Org { roles = ["member"]; permissions = ["view"]; }
has_role(user: User, "outcast", org: Org) if has_left(user, org);
has_permission(user: User, "view", org: Org) if has_role(user, "member", org) and not has_role(user, "outcast", org);
# --- 14 global roles and permissions
actor User {}
global { roles = ["admin"]; permissions = ["enter"]; "enter" if "admin"; }
resource Org { permissions = ["view"]; "view" if global "admin"; }
has_permission(user: User, "view", _: Org) if has_role(user, "admin") and not has_permission(user, "leave");
has_permission(user: User, "leave") if is_leaving(user);
# --- 15 roles in the whole system with any name
actor User {}
resource Org { permissions = ["view"]; }
has_permission(user: User, "view", _: Org) if has_role(user, role) and may_view(role);
# --- 16 an allow rule with a ban
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, action: String, doc: Doc) if has_permission(user, action, doc) and not is_banned(user);
is_banned(user: User) if is_reported(user);
# --- 17 an allow rule through another predicate
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(actor, action, resource) if permitted(actor, action, resource);
permitted(actor, action, resource) if has_permission(actor, action, resource);
# --- 18 allow rules for single actions, all of them declared
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view", "edit"]; "view" if "viewer"; "edit" if "viewer"; }
allow(user: User, "view", doc: Doc) if has_permission(user, "view", doc);
allow(user: User, "edit", doc: Doc) if has_permission(user, "edit", doc) and is_open(doc);
# --- 19 allow rules alone
actor User {}
resource Doc { roles = ["viewer"]; }
allow(user: User, "view", doc: Doc) if has_role(user, "viewer", doc);
# --- 20 fields
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow_field(user: User, "view", doc: Doc, field: String) if allow(user, "view", doc) and field in ["title", "text"];
# --- 21 a predicate that a test asks for
actor User {}
resource Doc { permissions = ["view"]; "view" if is_open(resource); }
may_export(user: User) if is_staff(user);
test "exports" { setup { is_staff(User{"ann"}); } assert may_export(User{"ann"}); }
# --- 22 for all
actor User {}
resource Lab { permissions = ["enter"]; }
has_permission(user: User, "enter", lab: Lab) if
  works_at(user, lab) and not (requires(lab, badge) and not has_badge(user, badge));
# --- 23 a type inside a negation
actor User {}
resource Org { roles = ["member"]; permissions = ["join"]; }
has_permission(user: User, "join", org: Org) if is_open(org) and not (role matches String and has_role(user, role, org));
# --- 24 a typed variable with a value, in parentheses
actor User {}
resource Org { roles = ["member"]; permissions = ["join"]; }
has_permission(user: User, "join", org: Org) if
  (other matches Org and is_partner(org, other)) and not has_role(user, "member", other);
# --- 25 a typed variable that each alternative gives a value
actor User {}
resource Org { roles = ["member"]; permissions = ["join"]; }
has_permission(user: User, "join", org: Org) if
  other matches Org and (is_partner(org, other) or is_parent(org, other)) and not has_role(user, "member", other);
# --- 26 times and levels
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; }
has_role(user: User, role: String, doc: Doc) if has_role_until(user, role, doc, end) and @current_unix_time < end;
has_permission(user: User, "view", doc: Doc) if
  has_role(user, "viewer", doc) and has_level(user, level) and needs_level(doc, needed) and level >= needed;
# --- 27 groups are actors
actor User {}
actor Group { roles = ["member"]; }
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
has_role(user: User, role: String, doc: Doc) if
  group matches Group and has_role(user, "member", group) and has_role(group, role, doc);
# --- 28 permissions on oneself
actor User { permissions = ["rename"]; }
has_permission(user: User, "rename", user: User);
# --- 29 policy facts
actor User {}
resource Section { roles = ["writer"]; permissions = ["write"]; "write" if "writer"; }
has_role(_: User, "writer", Section{"letters"});
# --- 30 a value of one type
actor User {}
resource Org { roles = ["member"]; permissions = ["view"]; "view" if "member"; }
resource Doc { permissions = ["view"]; }
has_permission(user: User, "view", _: Doc) if has_role(user, "member", Org{"acme"});
# --- 31 custom roles: their names are data
actor User {}
resource Org { permissions = ["view", "edit"]; }
has_permission(user: User, action: String, org: Org) if has_role(user, role, org) and grants(org, role, action);
# --- 32 a call in a shorthand rule, of a role and of a relation
actor User {}
resource Org { roles = ["admin"]; permissions = ["view"]; "view" if "admin"; }
resource Doc {
  roles = ["viewer"]; permissions = ["view"]; relations = { org: Org };
  "view" if has_role(actor, "viewer", resource) and has_relation(resource, "org", Org{"acme"});
}
# --- 33 a block that is opened twice
actor User {}
resource Doc { roles = ["viewer"]; }
resource Doc { roles = ["editor"]; permissions = ["view"]; "view" if "viewer"; }
has_permission(user: User, "view", doc: Doc) if has_role(user, "editor", doc) and is_open(doc);
# --- 34 exactly one type
actor User {}
actor Robot extends User {}
resource Item { roles = ["owner"]; permissions = ["view"]; }
resource Doc extends Item { roles = ["editor"]; }
has_permission(user: User, "view", item: Item) if
  item matches! Doc and (has_role(user, "editor", item) or has_role(user, "owner", item)) and user matches! User;
# --- 35 words of denial that are used
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if has_role(user, "viewer", doc) and not is_denied(user, doc) and not cannot_view(user);
is_denied(user: User, doc: Doc) if blocks(doc, user);
cannot_view(user: User) if is_suspended(user);
# --- 36 the same predicate with two numbers of arguments
actor User {}
resource Doc { permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if may_see(user, doc);
may_see(user: User, doc: Doc) if may_see(user, doc, "always");
may_see(user: User, doc: Doc, "always") if knows(user, doc);
# --- 37 an equality of roles
actor User {}
resource Doc { roles = ["viewer", "editor"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if has_role(user, role, doc) and (role = "viewer" or role = "editor");
# --- 38 a negation beside lists
actor User {}
resource Doc { roles = ["viewer", "banned", "muted"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if
  has_role(user, "viewer", doc) and not (role in ["banned", "muted"] and has_role(user, role, doc));
# --- 39 a permission that decides about another type
actor User {}
resource Org { roles = ["owner"]; permissions = ["manage"]; "manage" if "owner"; }
resource Doc { permissions = ["view"]; relations = { org: Org }; "view" if "manage" on "org"; }
allow(user: User, action: String, doc: Doc) if has_permission(user, action, doc);
# --- 40 a question of its own that asks for permissions
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, "enter") if is_staff(user);
allow_field(user: User, action: String, doc: Doc, field: String) if has_permission(user, action, doc) and is_shown(field);
# --- 41 an action of its own, which is no permission
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, action: String, doc: Doc) if has_permission(user, action, doc);
allow(user: User, "share", doc: Doc) if has_permission(user, "view", doc) and may_share(user);
# --- 42 words that differ by a letter
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer" and is_ready(resource) or is_owner(actor, resource); }
has_role(user: User, "viewer", doc: Doc) if
  is_owned(doc, user) and is_read(doc) and not is_locked(doc) and not is_blocked(doc) and is_live(doc) and is_like(doc);
has_role(user: User, "viewer", doc: Doc) if may_write(user, doc) and is_writer(user, doc) and step1(doc) and step2(doc);
# --- 43 names that differ by a letter, both in facts of tests
actor User {}
resource Doc { permissions = ["view"]; "view" if has_form(actor, resource) or has_forms(actor, resource); }
test "forms" {
  setup { has_form(User{"ann"}, Doc{"a"}); has_forms(User{"bob"}, Doc{"a"}); }
  assert allow(User{"ann"}, "view", Doc{"a"});
  assert allow(User{"bob"}, "view", Doc{"a"});
}
# --- 44 both orders of the same arguments
actor User {}
resource Folder {}
resource Doc { permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if folder matches Folder and linked(folder, doc) and watches(user, folder);
linked(folder: Folder, doc: Doc) if linked(doc, folder);
has_permission(user: User, "view", doc: Doc) if follows(user, doc) or follows(doc, user);
has_permission(user: User, "view", folder: Folder) if
  doc matches Doc and shared(folder, "viewers", doc, "viewer") and watches(user, doc);
has_permission(user: User, "view", doc: Doc) if
  folder matches Folder and shared(doc, "viewers", folder, "viewer") and watches(user, folder);
# --- 45 a resource with roles, and roles on actors
actor User { roles = ["boss"]; permissions = ["call"]; "call" if "boss"; }
resource Team {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; relations = { owner: User, team: Team }; "view" if "viewer" or "owner"; }
has_role(user: User, "viewer", doc: Doc) if has_relation(doc, "team", team) and team matches Team and in_team(user, team);
has_role(user: User, role: String, doc: Doc) if team matches Team and has_role(team, role, doc) and in_team(user, team);
has_role(team: Team, "boss", user: User) if leads(team, user);
has_role(user: User, "boss", other: User) if team matches Team and has_role(team, "boss", other) and in_team(user, team);
# --- 46 cycles that facts lead into
actor User {}
resource Folder {
  roles = ["reader", "writer"]; permissions = ["read", "write"]; relations = { parent: Folder };
  role if role on "parent"; "reader" if "writer"; "writer" if "reader";
  "read" if "reader"; "read" if "write"; "read" if "read" on "parent"; "write" if "writer";
}
above(boss: User, other: User) if above(boss, user) and above(user, other);
has_role(boss: User, "reader", folder: Folder) if user matches User and above(boss, user) and has_role(user, "reader", folder);
# --- 47 a cycle with declared facts, and one with facts of tests
actor User {}
resource Doc { permissions = ["view", "print"]; "view" if friend(actor, resource); "view" if "print"; "print" if "view"; }
declare friend(User, Doc);
friend(user: User, doc: Doc) if knows(user, doc);
knows(user: User, doc: Doc) if friend(user, doc);
likes(user: User, doc: Doc) if loves(user, doc);
loves(user: User, doc: Doc) if likes(user, doc);
has_permission(user: User, "view", doc: Doc) if likes(user, doc);
test "likes" {
  setup { likes(User{"ann"}, Doc{"a"}); }
  assert allow(User{"ann"}, "print", Doc{"a"});
}
# --- 48 a relation that another one of the same types makes storable, and one that is declared
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; relations = { owner: User, author: User, copy: Doc }; "view" if "owner" or "viewer"; }
declare has_relation(Doc, String, Doc);
# --- 49 custom roles in a test
actor User {}
resource Org { roles = ["admin"]; permissions = ["view"]; "view" if "admin"; }
resource Doc { roles = ["owner", "admin"]; permissions = ["view"]; relations = { org: Org }; role if role on "org"; "view" if "owner"; }
has_permission(user: User, permission: String, org: Org) if has_role(user, role, org) and gives(org, role, permission);
test "custom roles" {
  setup {
    has_role(User{"ann"}, "clerk", Org{"o"});
    gives(Org{"o"}, "clerk", "view");
    has_role(User{"bob"}, "owner", Org{"o"});
    has_relation(Doc{"d"}, "org", Org{"o"});
  }
  assert allow(User{"ann"}, "view", Org{"o"});
  assert allow(User{"bob"}, "view", Doc{"d"});
  assert_not allow(User{"ann"}, "delete", Org{"o"});
}
# --- 50 an `or` of which one part is what the rule gives, by a list
actor User {}
resource Doc { roles = ["a", "b"]; permissions = ["view"]; "view" if "a"; }
has_role(user: User, role: String, doc: Doc) if role in ["a", "b"] and has_role(user, "b", doc);
# --- 51 an own `allow` that asks for roles and relations with the name of the action
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["read"]; relations = { author: User }; "read" if "viewer" or "author"; }
allow(actor: Actor, action: String, doc: Resource) if has_permission(actor, action, doc) or has_role(actor, action, doc) or has_relation(doc, action, actor);
test "t" {
  setup { has_role(User{"ann"}, "viewer", Doc{"d"}); }
  assert allow(User{"ann"}, "viewer", Doc{"d"});
  assert_not allow(User{"bob"}, "viewer", Doc{"d"});
  assert_not allow(User{"bob"}, "author", Doc{"d"});
}
# --- 52 names with ordinary endings
actor User {}
resource Doc { permissions = ["read"]; }
has_permission(user: User, "read", doc: Doc) if is_writer(user, doc) or is_shared(user, doc) or was_given(user, doc) or is_party(user, doc);
is_writer(user: User, doc: Doc) if is_write(user, doc) and not is_share(user, doc);
is_shared(user: User, doc: Doc) if was_give(user, doc) and is_part(user, doc);
was_given(user: User, doc: Doc) if is_part(user, doc);
is_party(user: User, doc: Doc) if is_part(user, doc);
