# --- rules that can never hold
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; }
resource Doc { roles = ["viewer"]; permissions = ["view"]; }
has_role(u: User, "viewer", d: Doc) if d matches Org and grants(u, d);
has_role(u: User, "member", o: Org) if grants(u, o) and false;
has_permission(u: User, "read", o: Org) if o = Org{"a"} and o = Org{"b"} and has_role(u, "member", o);
has_permission(u: User, "view", d: Doc) if has_role(u, "viewer", d) or (false and has_role(u, "member", d));
has_permission(u: User, "read", o: Org) if rank(u, o, "a", "b", "c", "d") and has_role(u, "member", o);
# --- a rule below a supertype, of an undeclared type, of any type: may hold
actor User {}
resource Item { roles = ["r"]; permissions = ["p"]; "p" if "r"; }
resource Doc extends Item {}
has_role(u: User, "r", i: Item) if i matches Doc and grants(u, i);
has_role(u: User, "r", t: Ghost) if grants(u, t);
has_role(u, "r", x) if grants(u, x);
# --- no actor: one warning
resource Org { roles = ["a"]; permissions = ["p", "q"]; "p" if "a"; "q" if "a"; }
# --- no actor, and none is asked for
resource Org { roles = ["a"]; permissions = ["p"]; }
has_permission(u: User, "p", o: Org) if has_role(u, "a", o);
# --- the same rule twice, in other words
actor User {}
resource Org { roles = ["a", "b"]; permissions = ["p"]; "p" if "a" and "b"; "p" if "b" and "a"; }
has_permission(somebody: Actor, "p", thing: Org) if has_role(somebody, "a", thing) and has_role(somebody, "b", thing);
is_public(Org{"x"});
is_public(Org{"x"});
is_public(Org{"y"});
has_role(u: User, "a", o: Org) if is_public(o) and u = User{"ann"};
has_role(User{"ann"}, "a", o: Org) if is_public(o);
# --- names that nobody can have
actor User {}
global { roles = ["root", "lost"]; permissions = ["found", "burn"]; "found" if "root"; }
resource Org { roles = ["member", "ghost"]; permissions = ["read", "fly"]; relations = { boss: User }; "read" if "member"; }
# --- names that facts or other rules may give
actor User {}
global { roles = ["root"]; permissions = ["p"]; }
resource Org { roles = ["a", "b", "c"]; permissions = ["read", "write", "see"]; }
resource Doc { roles = ["viewer"]; permissions = ["view", "edit"]; relations = { org: Org };
  role if role on "org"; "view" if "viewer"; "edit" if "see" on "org"; "edit" if global "p"; }
resource Note extends Doc {}
has_permission(u: User, action, o: Org) if grants(u, action, o) and has_role(u, "root");
allow(u: User, "write", o: Org) if has_role(u, "a", o);
allow(u, action, o) if has_permission(u, action, o);
# --- tests that cannot fail
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
test "empty" {}
test "only facts" { setup { has_role(User{"ann"}, "member", Org{"o"}); } }
test "slips" {
  setup { has_role(User{"ann"}, "member", Org{"o"}); }
  assert has_role(User{"ann"}, "member", Org{"o"});
  assert_not allow(User{"ann"}, "raed", Org{"o"});
  assert_not allow(User{"ann"}, "read", User{"o"});
  assert_not has_role(User{"ann"}, "ownre", Org{"o"});
  assert_not alow(User{"ann"}, "read", Org{"o"});
}
# --- tests that can
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
test "all of these may fail" {
  setup { has_role(User{"ann"}, "member", Org{"o"}); has_permission(User{"bob"}, "raed", Org{"o"}); }
  assert allow(User{"ann"}, "read", Org{"o"});
  assert_not allow(User{"bob"}, "read", Org{"o"});
  assert_not has_permission(User{"ann"}, "read", Org{"p"});
  assert allow(User{"ann"}, action: String, Org{"o"}) iff action in ["read"];
}
# --- facts of a test that nothing looks at
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
declare is_public(Org);
test fixture base { has_rol(User{"ann"}, "member", Org{"o"}); is_public(Org{"o"}); is_public(User{"o"}); }
test "t" {
  setup { fixture base; has_role(User{"ann"}, Org{"o"}); something_else(User{"ann"}); }
  assert_not allow(User{"ann"}, "read", Org{"o"});
}
# --- tests that deny what others may have, or what nobody may yet, guard the rules
actor User {}
actor Bot extends User {}
resource Doc { roles = ["owner"]; permissions = ["print", "burn"]; }
has_permission(user: User, "print", doc: Doc) if has_role(user, "owner", doc) and user matches! User;
test "bots may not" {
  setup { has_role(User{"ann"}, "owner", Doc{"d"}); }
  assert_not allow(Bot{"b"}, "print", Doc{"d"});
  assert_not allow(User{"ann"}, "burn", Doc{"d"});
  assert_not has_role(User{"bob"}, "owner", Doc{"d"});
}
# --- rules that change no decision
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
deny(user: User, "view", _: Doc) if is_banned(user);
is_banned(user: User) if is_reported(user);
may_export(user: User) if is_staff(user);
round(x) if about(x);
about(x) if round(x) or is_flat(x);
is_public(Doc{"x"});
# --- rules that applications or tests ask for
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow_field(user: User, "read", doc: Doc, "title") if has_role(user, "viewer", doc);
may_export(user: User) if is_staff(user);
deny(user: User) if is_banned(user);
has_role(user: User, "viewer", doc: Doc) if wrote(user, doc);
test "exports" {
  setup { is_staff(User{"ann"}); is_banned(User{"bob"}); }
  assert may_export(User{"ann"});
  assert deny(User{"bob"});
}
# --- allow rules that replace the default one
actor User {}
global { roles = ["root"]; permissions = ["burn"]; "burn" if "root"; }
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, "view", doc: Doc) if is_open(doc) and has_role(user, "viewer", doc);
# --- allow rules beside the default one
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, "view", doc: Doc) if is_open(doc) and has_role(user, "viewer", doc);
allow(actor: Actor, action: String, resource: Resource) if may(actor, action, resource);
may(actor: Actor, action: String, resource: Resource) if has_permission(actor, action, resource);
# --- another number of arguments is another predicate
actor User {}
resource Doc { permissions = ["view"]; }
has_permission(user: User, "view", doc: Doc) if knows(user, doc) and not is_banned(user);
is_banned(user: User, "always") if is_reported(user);
has_permission(user: User, "view", doc: Doc, true) if is_staff(user) and is_open(doc);
# --- names that say that they deny
actor User {}
resource Doc { permissions = ["view"]; "view" if is_open(resource); }
is_denied(user: User) if is_reported(user);
not_allowed(user: User) if is_new(user);
cannot_view(user: User, doc: Doc) if hides(doc, user);
isBanned(user: User) if is_spammer(user);
blockchain(doc: Doc) if is_signed(doc);
nobanana(doc: Doc) if is_ripe(doc);
# --- allow rules of another number of arguments
actor User {}
global { permissions = ["burn"]; "burn" if is_root(actor); }
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(actor: Actor, action: String, resource: Resource) if has_permission(actor, action, resource);
# --- allow rules with two arguments
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, "enter") if is_staff(user);
# --- allow rules that ask for permissions below a negation alone
actor User {}
resource Doc { roles = ["viewer", "blocked"]; permissions = ["view", "vanish"]; "view" if "viewer"; "vanish" if "blocked"; }
allow(user: User, "view", doc: Doc) if has_role(user, "viewer", doc) and not has_permission(user, "vanish", doc);
# --- allow rules that ask for permissions below two negations
actor User {}
resource Doc { permissions = ["view"]; "view" if is_open(resource); }
allow(user: User, "view", doc: Doc) if knows(user, doc) and not is_kept_from(user, doc);
is_kept_from(user: User, doc: Doc) if not has_permission(user, "view", doc);
# --- allow rules for one of two types
actor User {}
resource Org { permissions = ["manage", "leave"]; "manage" if is_founder(actor); "leave" if is_member(actor); }
resource Doc { permissions = ["view"]; relations = { org: Org }; "view" if "manage" on "org"; }
allow(user: User, action: String, doc: Doc) if has_permission(user, action, doc) and not is_banned(user);

# --- an allow rule of its own that asks for a permission, which nothing else allows
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }
allow(user: User, "share", doc: Doc) if has_permission(user, "view", doc) and may_share(user);
