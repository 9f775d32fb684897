# --- 1 a role that a rule gives
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
has_role(user: User, "veiwer", doc: Doc) if wrote(user, doc);
# --- 2 a role that a rule asks for
actor User {}
resource Doc { roles = ["viewer", "editor"]; permissions = ["view"]; "view" if "viewer"; }
has_permission(user: User, "view", doc: Doc) if has_role(user, "edtior", doc);
# --- 3 a role below a negation
actor User {}
resource Doc { roles = ["viewer", "banned"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if has_role(user, "viewer", doc) and not has_role(user, "baned", doc);
# --- 4 a permission that a rule gives
actor User {}
resource Doc { permissions = ["view", "edit"]; "view" if "edit"; }
has_permission(user: User, "edti", doc: Doc) if wrote(user, doc);
# --- 5 a permission that a rule asks for
actor User {}
resource Doc { permissions = ["view", "edit"]; }
has_permission(user: User, "view", doc: Doc) if has_permission(user, "edi", doc);
# --- 6 a relation
actor User {}
resource Folder { roles = ["viewer"]; }
resource Doc { permissions = ["view"]; relations = { folder: Folder }; }
has_permission(user: User, "view", doc: Doc) if folder matches Folder and has_relation(doc, "foldr", folder) and has_role(user, "viewer", folder);
# --- 7 a role in the whole system
actor User {}
global { roles = ["admin"]; }
resource Doc { permissions = ["view"]; "view" if global "admin"; }
has_permission(user: User, "view", doc: Doc) if is_open(doc) and has_role(user, "amdin");
# --- 8 a role of the wrong type
actor User {}
resource Org { roles = ["admin"]; }
resource Doc { roles = ["viewer"]; permissions = ["view"]; relations = { org: Org }; "view" if "viewer" or "admin" on "org"; }
has_permission(user: User, "view", doc: Doc) if is_open(doc) and has_role(user, "admin", doc);
# --- 9 below a narrowed type
actor User {}
resource Item { permissions = ["view"]; }
resource Doc extends Item { roles = ["owner"]; }
has_permission(user: User, "view", item: Item) if item matches Doc and has_role(user, "onwer", item);
# --- 10 of an owner of any type
actor User {}
resource Doc { roles = ["owner"]; permissions = ["view"]; }
has_permission(user: User, "view", thing) if has_role(user, "onwer", thing);
# --- 11 of any resource
actor User {}
resource Doc { roles = ["owner"]; permissions = ["view"]; }
has_permission(user: User, "view", thing: Resource) if has_role(user, "onwer", thing);
# --- 12 of any actor
actor User { roles = ["boss"]; permissions = ["call"]; }
has_permission(user: User, "call", other: Actor) if has_role(user, "bos", other);
# --- 13 in a list
actor User {}
resource Doc { roles = ["viewer", "editor"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if role in ["viewer", "editer"] and has_role(user, role, doc);
# --- 14 in an equality
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if has_role(user, role, doc) and role = "viewr";
# --- 15 in a list below a negation
actor User {}
resource Doc { roles = ["viewer", "banned", "muted"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if has_role(user, "viewer", doc) and not (role in ["baned", "muted"] and has_role(user, role, doc));
# --- 16 in a call of a shorthand rule
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if has_role(actor, "viewr", resource); }
# --- 17 in a call of a shorthand rule in the global block
actor User {}
global { roles = ["admin"]; permissions = ["enter"]; "enter" if has_role(actor, "adimn"); }
# --- 18 in an action that an allow rule gives
actor User {}
resource Doc { permissions = ["view"]; "view" if is_open(resource); }
allow(user: User, "veiw", doc: Doc) if has_permission(user, "view", doc);
# --- 19 in an action that a rule asks for
actor User {}
resource Doc { permissions = ["view"]; "view" if is_open(resource); }
allow_field(user: User, "title", doc: Doc) if allow(user, "veiw", doc);
# --- 20 in a value of a type
actor User {}
resource Org { roles = ["member"]; permissions = ["view"]; "view" if "member"; }
has_permission(user: User, "view", _: Org) if has_role(user, "membre", Org{"acme"});
# --- 21 in a policy fact
actor User {}
resource Org { roles = ["member"]; permissions = ["view"]; "view" if "member"; }
has_role(User{"ann"}, "membr", Org{"acme"});
# --- 22 a permission for a role
actor User {}
resource Doc { roles = ["owner"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if has_permission(user, "owner", doc);
# --- 23 below two negations
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if knows(user, doc) and not (is_secret(doc) and not has_role(user, "viewr", doc));
# --- 24 beside an alternative
actor User {}
resource Doc { roles = ["viewer", "editor"]; permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if (has_role(user, "viewr", doc) or has_role(user, "editor", doc)) and is_open(doc);
# --- 25 a derived relation, asked for by another name
actor User {}
resource Folder { roles = ["viewer"]; permissions = ["view"]; relations = { parent: Folder }; }
has_relation(low: Folder, "above", high: Folder) if has_relation(low, "parent", high);
has_permission(user: User, "view", low: Folder) if
  high matches Folder and has_relation(low, "abvoe", high) and has_role(user, "viewer", high);
# --- 26 a rule that denies nobody
actor User {}
resource Doc { permissions = ["view"]; "view" if is_open(resource); }
deny(user: User, "view", doc: Doc) if is_banned(user, doc);
# --- 27 a rule that denies nobody, with an argument too many
actor User {}
resource Doc { permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if is_open(doc) and not is_banned(user);
is_banned(user: User, doc: Doc) if is_reported(user, doc);
# --- 28 a predicate that is misspelt where it is asked for
actor User {}
resource Doc { permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if may_veiw(user, doc);
may_view(user: User, doc: Doc) if knows(user, doc);
# --- 29 an allow rule that was meant to add something
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, "view", _: Doc) if is_admin(user);
# --- 30 an allow rule that was meant to add something in the whole system
actor User {}
global { roles = ["admin"]; permissions = ["enter"]; "enter" if "admin"; }
allow(user: User, "enter") if is_root(user);
# --- 31 an allow rule for users that leaves out robots
actor User {}
actor Robot {}
resource Doc { permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if knows(user, doc);
has_permission(robot: Robot, "view", doc: Doc) if scans(robot, doc);
allow(user: User, action: String, doc: Doc) if has_permission(user, action, doc);
# --- 32 an allow rule that leaves out an action
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view", "edit"]; "view" if "edit"; "edit" if "viewer"; }
allow(user: User, "view", doc: Doc) if has_permission(user, "view", doc) and is_open(doc);
has_permission(user: User, "print", doc: Doc) if has_role(user, "viewer", doc);
# --- 33 a negation of a typed variable
actor User {}
resource Org { roles = ["member"]; permissions = ["join"]; }
has_permission(user: User, "join", org: Org) if is_open(org) and role matches String and not has_role(user, role, org);
# --- 34 a negation of a typed variable, in parentheses
actor User {}
resource Org { roles = ["member"]; permissions = ["join"]; }
has_permission(user: User, "join", org: Org) if (is_open(org) and role matches String) and (is_new(org) or not has_role(user, role, org));
