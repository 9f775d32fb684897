# --- variables that occur once
actor User {} resource Doc {}
has_role(u: User, "viewer", d: Doc);
allow(u: User, action, d: Doc) if is_open(d, level) and _x = _y and u = u;
# --- variables without a value
actor User {}
f(x) if g(x) and y < 3;
f(x) if g(x, y) and y < 3 and z = y and z != x;
f(x) if not g(x, y) and y < 3;
f(x) if (g(x, y) or h(x)) and y > 2;
f(x) if g(x) and (h(y) or y > 2);
f(x) if g(x) and y = z and z < 3;
f(x) if g(x) and y in [1, 2] and y < 3 and w matches Integer and w < 4;
f(x) if x < 3 and x < @current_unix_time and 3 < 4;
f(x) if g(x) and not (h(x, y) and y > z);
f(x) if g(x) and _ < 3;
# --- two variables without a value
f(x) if g(x) and y = z and not h(y, x);
f(x) if g(x) and not y = y;
f(x) if g(x) and (y = z or h(x, y)) and _ = _;
f(x) if g(x) and h(_, x) and _ = y and not h(y, x);
f(x) if g(x) and _ = x and _ = y and y < 3;
f(x) if g(x) and y = z and y matches String and not h(z, x);
f(x, y) if x = y and g(x);
f(x) if x = y and y = z and g(z) and not (v = w and h(v, w));
# --- values that no fact can hold
actor User {}
f(User{"*"}, "*", User{""}, Actor{"a"}, Resource{"r"});
f(x) if g(x, User{"*"}) and x != Actor{"a"} and x in [Integer{"3"}, Boolean{1}, String{true}, ""];
# --- types that are not declared, once each
f(x: Usr, y: Ghost) if g(x, y, Ghost{"a"}) and y matches Other;
declare p(Ghst, string);
actor User {}
# --- lists hold values
f(x, y) if x in [y, @current_unix_time, "a"] and g(y);
# --- not beyond what is documented
actor User {}
resource Doc { roles = ["a", "b"]; "a" if "b"; }
f(x: User) if not (g(x) and h(x));
f(x: User) if not not g(x);
f(x: User) if not has_role(x, "a", Doc{"d"}) and not has_role(x, "a") and not k(x);
k(x: User) if g(x);
# --- statements of the older library
type has_role(actor: Actor, _name: String, resource: Resource);
?= allow(User{"a"}, "read", Doc{"d"});
# --- facts have one to five arguments
declare none();
declare six(String, String, String, String, String, String);
six("a", "b", "c", "d", "e", "f") if none();
# --- a negation that nearly any value makes true
actor User {}
resource Org { roles = ["member"]; permissions = ["leave"]; }
has_permission(user: User, "leave", org: Org) if role matches String and not has_role(user, role, org);
has_permission(user: User, "leave", org: Org) if group matches Org and not (has_role(user, "member", group) and near(group, org));
# --- negations of variables that have a value, or are the negation's own
actor User {}
resource Org { roles = ["member"]; permissions = ["leave"]; }
has_permission(user: User, "leave", org: Org) if role matches String and is_role(role) and not has_role(user, role, org);
has_permission(user: User, "leave", org: Org) if not (role matches String and has_role(user, role, org));
has_permission(user: User, "leave", org: Org) if not has_role(user, _role, org);
has_permission(user: User, "leave", org: Org) if role matches String and role in ["member"] and not has_role(user, role, org);
# --- a negation that nearly any value makes true, beside an alternative that gives it one
actor User {}
resource Org { roles = ["member"]; permissions = ["leave"]; }
has_permission(user: User, "leave", org: Org) if role matches String and (not has_role(user, role, org) or has_role(user, role, org));
has_permission(user: User, "leave", org: Org) if role matches String and (role = "member" or role in ["owner"]) and not has_role(user, role, org);
has_permission(user: User, "leave", org: Org) if role matches String and is_role(role) and (not has_role(user, role, org) or is_open(org));
# --- names that no block declares
actor User {}
actor Bot extends User {}
global { roles = ["admin"]; }
resource Item { roles = ["viewer"]; permissions = ["view"]; relations = { parent: Item }; "view" if "viewer"; }
resource Doc extends Item { roles = ["owner"]; }
resource Bare {}
has_role(user: User, "veiwer", doc: Doc) if wrote(user, doc);
has_permission(user: User, "view", doc: Doc) if is_open(doc) and not has_role(user, "blocked", doc);
has_permission(user: User, "view", doc: Doc) if has_relation(doc, "parnet", item) and item matches Item and has_role(user, "owner", item);
has_permission(user: User, "view", doc: Doc) if has_role(user, "amdin") and not not has_permission(user, "veiw", doc);
has_permission(user: User, "view", bare: Bare) if has_role(user, "anything", bare);
has_permission(user: User, "view", resource: Resource) if has_role(user, "owner", resource) and has_role(user, "nobody", resource);
# --- names that another rule gives or asks for are no slips
actor User {}
global { roles = ["admin"]; }
resource Folder { roles = ["viewer"]; permissions = ["view"]; relations = { parent: Folder }; "view" if "viewer"; }
resource Doc { roles = ["owner"]; permissions = ["view"]; relations = { folder: Folder }; role if role on "folder"; }
has_role(user: User, "blocked", folder: Folder) if is_reported(user, folder);
has_permission(user: User, "view", folder: Folder) if is_open(folder) and not has_role(user, "blocked", folder);
has_permission(user: User, "view", doc: Doc) if is_open(doc) and not has_role(user, "guest", doc);
has_relation(doc: Doc, "ancestor", folder: Folder) if has_relation(doc, "folder", folder);
has_relation(doc: Doc, "ancestor", above: Folder) if
  below matches Folder and has_relation(doc, "ancestor", below) and has_relation(below, "parent", above);
has_permission(user: User, "view", doc: Doc) if above matches Folder and has_relation(doc, "ancestor", above) and has_role(user, "viewer", above);
has_role(user: User, role: String) if granted(user, role);
has_permission(user: User, "view", doc: Doc) if is_open(doc) and has_role(user, "superadmin");
# --- names that another rule gives for another type
actor User {}
resource Folder { roles = ["viewer"]; }
resource Doc { roles = ["owner"]; permissions = ["view"]; }
has_role(user: User, "blocked", folder: Folder) if is_reported(user, folder);
has_permission(user: User, "view", doc: Doc) if has_role(user, "owner", doc) and not has_role(user, "blocked", doc);
# --- the type of an owner is what its own conjunction says
actor User {}
resource Folder { roles = ["viewer"]; permissions = ["view"]; }
resource Item { roles = ["holder"]; permissions = ["view"]; }
resource Doc extends Item { roles = ["owner"]; }
has_permission(user: User, "view", item: Item) if (item matches Doc and has_role(user, "ownre", item)) or has_role(user, "owner", item);
has_permission(user: User, "view", item: Item) if has_relation(item, "in", x) and ((x matches Folder and has_role(user, "viewer", x)) or (x matches Doc and has_role(user, "owner", x)));
has_permission(user: User, "view", item: Item) if holds(user, x) and not x matches Folder and has_role(user, "owner", x);
has_permission(user: User, "view", folder: Folder) if same(x, folder) and (x matches Folder or has_role(user, "owner", x));
has_permission(user: User, "view", folder: Folder) if same(x, folder) and has_role(user, "veiwer", x);
has_permission(user: User, "view", item: Item) if item matches! Item and has_role(user, "owner", item);
has_permission(user: User, "view", item: Item) if item = Doc{"d"} and has_role(user, "viewer", item);
has_permission(user: User, "view", doc: Doc) if doc matches Item and has_role(user, "owner", doc) and not has_role(user, "holdre", doc);
# --- names in lists and equalities, of calls in shorthand, of actions
actor User {}
resource Org { roles = ["admin"]; permissions = ["view"]; }
resource Doc {
  roles = ["owner", "viewer"]; permissions = ["view"]; relations = { org: Org };
  "view" if has_role(actor, "veiwer", resource) or has_role(actor, "owner", resource);
}
resource Plain { permissions = ["view"]; }
resource Bare {}
has_permission(user: User, "view", doc: Doc) if role in ["owner", "veiwer"] and has_role(user, role, doc);
has_permission(user: User, "view", doc: Doc) if role = "ownr" and has_role(user, role, doc);
has_permission(user: User, "view", doc: Doc) if not (role in ["ownr"] and has_role(user, role, doc));
has_permission(user: User, "view", doc: Doc) if
  has_relation(doc, "org", org) and org matches Org and role in ["owner", "admin"] and (has_role(user, role, doc) or has_role(user, role, org));
has_permission(user: User, action: String, doc: Doc) if action in ["view", "edti"] and wrote(user, doc);
has_permission(user: User, "view", plain: Plain) if has_role(user, "view", plain);
has_permission(user: User, "view", bare: Bare) if has_role(user, "viewer", bare);
allow_field(user: User, "title", doc: Doc) if allow(user, "veiw", doc);
# --- an action that no block declares
actor User {}
resource Doc { permissions = ["view"]; "view" if is_open(resource); }
allow(user: User, "veiw", doc: Doc) if has_permission(user, "view", doc);
allow(user: User, "view", _: Doc) if is_staff(user);
# --- a negation that nearly any value makes true, in parentheses
actor User {}
resource Org { roles = ["member"]; permissions = ["leave"]; }
has_permission(user: User, "leave", org: Org) if (role matches String and knows(user, org)) and not has_role(user, role, org);
has_permission(user: User, "leave", org: Org) if (role matches String or knows(user, org)) and not has_role(user, role, org);
has_permission(user: User, "leave", org: Org) if ((role matches String and is_role(role)) or knows(user, org)) and not has_role(user, role, org);
has_permission(user: User, "leave", org: Org) if (role matches String and is_role(role)) and not has_role(user, role, org);
# --- undeclared types that act: in bodies, in relations, in tests
resource Doc { roles = ["viewer"]; permissions = ["view"]; relations = { owner: Person, team: Team };
  "view" if "owner"; "view" if "viewer"; "view" if is_in(actor, Planet{"earth"}); }
has_permission(user, "view", doc: Doc) if bot matches Bot and has_role(bot, "viewer", doc) and helps(bot, user);
near(x: Lab) if has_role(Machine{"m"}, "viewer", x);
test "t" {
  setup { has_role(Key{"k"}, "viewer", Doc{"d"}); has_relation(Doc{"d"}, "team", Crew{"c"}); }
  assert allow(Service{"s"}, "view", Doc{"d"});
  assert_not has_permission(_: Visitor, "view", Doc{"d"});
}
# --- undeclared types of a policy without an actor
resource Doc {}
is_open(doc: Doc, user: User) if knows(user, doc, Page{"p"});
# --- arguments in the wrong order, and predicates that differ by a letter
actor User {}
resource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "reader" and is_open(resource); }
has_role(doc: Doc, "reader", user: User) if is_opne(doc) and knows(user, doc);
