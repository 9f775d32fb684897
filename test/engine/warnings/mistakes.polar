# --- a role with its arguments in the wrong order: head, call, shorthand
actor User {}
resource Doc {
  roles = ["viewer"]; permissions = ["view"]; relations = { owner: User };
  "view" if "viewer" or "owner";
  "view" if has_role(resource, "viewer", actor);
}
has_role(d: Doc, "viewer", u: User) if knows(u, d);
has_role(u: User, doc: Doc, "viewer") if knows(u, doc);
has_permission("view", u: User, doc: Doc) if knows(u, doc);
has_permission(u: User, "view", doc: Doc) if has_role(doc, role, u) and role in ["viewer"];
# --- a relation, a permission and allow in the wrong order
actor User {}
resource Org { roles = ["member"]; }
resource Doc {
  roles = ["viewer"]; permissions = ["view"]; relations = { owner: User, org: Org };
  "view" if "viewer" or "owner" or "member" on "org";
}
has_permission(u: User, "view", d: Doc) if has_relation(u, "owner", d);
has_permission(u: User, "view", d: Doc) if has_relation(d, u, "owner");
has_relation(o: Org, "org", d: Doc) if in_org(d, o);
allow(d: Doc, action: String, u: User) if has_permission(u, action, d);
# --- arguments in another order than those of a rule, a declaration, or other calls
actor User {}
resource Doc { permissions = ["a", "b", "c", "d"]; "c" if knows(actor, resource); "a" if knows(resource, actor); }
declare likes(User, Doc);
member(user: User, doc: Doc) if joined(user, doc);
has_permission(user: User, "a", doc: Doc) if member(doc, user);
has_permission(user: User, "b", doc: Doc) if likes(doc, user);
has_permission(user: User, "c", doc: Doc) if banned(user, doc);
has_permission(user: User, "d", doc: Doc) if member(user, doc) and not banned(doc, user);
# --- predicates that differ by a letter
actor User {}
resource Doc { permissions = ["a", "b", "c", "d", "e"]; "a" if is_member(actor, resource); "b" if is_membr(actor, resource); }
has_permission(user: User, "c", doc: Doc) if isMember(user, doc) and in_groups(user, doc) and not is_baned(user);
in_group(user: User, doc: Doc) if is_member(user, doc);
has_permission(user: User, "d", doc: Doc) if in_group(user, doc) and has_rol(user, "viewer", doc);
has_permission(user: User, "e", doc: Doc) if has_premission(user, "d", doc) and not is_banned(user) and not is_bannned(user);
# --- predicates whose last letter is doubled or missing
actor User {}
resource Doc { permissions = ["read"]; }
is_member(user: User, doc: Doc) if joined(user, doc);
is_friend(user: User, doc: Doc) if knows(user, doc);
has_permission(user: User, "read", doc: Doc) if (is_member(user, doc) or is_memberr(user, doc)) and is_friend(user, doc) and not is_frien(user, doc);
# --- predicates with another number of arguments
actor User {}
resource Doc { permissions = ["a", "b"]; relations = { owner: User }; "b" if "owner"; }
has_permission(user: User, "a", doc: Doc) if is_member(user, doc) and is_member(user, doc, "x") and has_relation(doc, "owner");
is_open(doc: Doc) if is_public(doc);
has_permission(_: User, "b", doc: Doc) if is_open(doc) or is_open(doc, "always");
# --- relations that facts cannot have
actor User {}
resource Org {}
resource Doc { roles = ["viewer"]; permissions = ["view"]; relations = { org: Org, owner: User, owned: User }; "view" if "viewer" or "owner"; }
# --- roles in the setup of a test that nothing declares
actor User {}
global { roles = ["admin"]; permissions = ["enter"]; "enter" if "admin"; }
resource Org { roles = ["member"]; permissions = ["view"]; "view" if "member"; }
resource Doc { roles = ["reader"]; permissions = ["view"]; relations = { org: Org, owner: User }; "view" if "reader"; permission if "owner"; role if role on "org"; }
test fixture base { has_role(User{"ann"}, "raeder", Doc{"d"}); }
test "t" {
  setup {
    fixture base;
    has_role(User{"bob"}, "reeder", Doc{"d"});
    has_role(User{"bob"}, "reeder", Doc{"e"});
    has_role(User{"bob"}, "member", Doc{"e"});
    has_role(User{"bob"}, "amdin");
    has_relation(Doc{"d"}, "ownr", User{"bob"});
    has_role(User{"eve"}, "membre", Org{"o"});
    has_permission(User{"eve"}, "veiw", Org{"o"});
  }
  assert_not allow(User{"ann"}, "view", Doc{"d"});
  assert_not allow(User{"bob"}, "veiw", Doc{"d"});
  assert_not allow(User{"bob"}, "export", Doc{"d"});
  assert_not has_role(User{"bob"}, "raeder", Doc{"x"});
  assert_not allow(User{"bob"}, "entre");
  assert_not allow(Doc{"d"}, "view", User{"bob"});
}
# --- rules that give what they ask for
actor User {}
resource Doc { roles = ["a"]; permissions = ["read", "write", "x"]; "read" if "read"; "write" if "write" and "a" or "a"; "x" if "a" and "x"; }
trusts(user: User, other: User) if other matches User and trusts(user, other);
has_permission(user: User, "read", doc: Doc) if trusts(user, user) and (has_permission(user, "read", doc) or (has_permission(user, "read", doc) and is_open(doc)));
# --- rules that only imply each other
actor User {}
global { permissions = ["a", "b"]; "a" if "b"; "b" if "a"; }
resource Folder { permissions = ["read", "list"]; relations = { parent: Folder }; "read" if "read" on "parent"; "list" if "read"; }
resource Doc { permissions = ["read", "edit", "own", "print"]; "read" if "edit" or "own"; "edit" if "own" and is_open(resource); "own" if "edit"; "print" if friend(actor, resource); }
friend(user: User, doc: Doc) if knows(user, doc) and is_open(doc);
knows(user: User, doc: Doc) if meets(user, doc);
meets(user: User, doc: Doc) if friend(user, doc);
# --- a cycle that another one leads into
actor User {}
resource Doc { permissions = ["p", "q"]; relations = { up: Doc }; "p" if "p" on "up"; "q" if f(actor, resource); }
g(u: User, d: Doc) if f(u, d);
f(u: User, d: Doc) if g(u, d) or has_permission(u, "p", d);
# --- a role or a permission in the whole system without a global block
actor User {}
resource Doc { permissions = ["view"]; }
has_permission(u: User, "view", _: Doc) if has_role(u, "admin") or has_permission(u, "view_all");
has_role(u: User, "admin") if is_root(u) and not has_role(u, "guest");
# --- a file without statements
# nothing
# --- all of these turned off
# ignore block/permission-never-granted: soon
actor User {}
resource Org {
  permissions = [
    "fly", # ignore block/permission-never-granted
    # ignore block/permission-never-granted: comes later
    "burn",
  ];
  roles = ["a"]; # ignore block/role-never-granted
  relations = {
    boss: User, # ignore block/relation-never-used
    up: Org, # ignore rule/unused block/relation-never-used -- both
  };
}
# ignore rule/self-implied, rule/argument-order
# a further comment
has_role(o: Org, "x", u: User) if has_role(o, "x", u);
lonely(user: User, thing) if # this has several lines
  is_member(user)
  and not (is_gone(user) or
    is_done(user, Org{"x"}) or user in ["a", # why
    "b"]); # ignore rule/unused, rule/singleton, rule/wide-negation
test "t" {
  setup { has_role(User{"a"}, "b", Org{"o"}); # ignore test/unused-fact, test/undeclared-name
  }
  # ignore test/cannot-fail
  assert_not allow(User{"a"}, "x", Org{"o"});
}
# --- comments that turn nothing off
actor User {}
resource Doc { permissions = ["read"]; }
# ignore rule/singleton
f(Doc{"# ignore rule/unused"}) if g(_x); # ignored: rule/unused
# ignore rule/unusd
#ignore
h(x) if g(x); # see # ignore rule/unused
# --- an ignored file without statements
# ignore syntax/empty-file
