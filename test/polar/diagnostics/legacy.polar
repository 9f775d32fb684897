# --- field access and method calls
allow(u: User, "read", d: Doc) if u.name = "ann" and d.owner.id = u and is_x(d.org) and d.is_open();
allow(u: User, "read", d: Doc) if u.in_group("a", g(u)) and "x" in u.groups and u.level > 3;
actor User {}
resource Doc { permissions = ["read"]; "read" if resource.public; }
# --- operators of other languages
f(x) if x == "a";
f(x) if y := x and g(y);
f(x) if g(x) && h(x);
f(x) if g(x) || h(x);
f(x) if !g(x);
f(x, y) if x < y + 1;
f(x, y) if x < y - 1;
f(x, y) if x * 2 < y;
# --- new, dictionaries, lists
f(x) if g(new User("ann"), x);
f(x) if x = {name: "ann"};
f(x) if x = ["ann"];
f(x) if x in g(x);
# --- patterns
f(x: User{name: "ann"}) if g(x);
f(x) if g(User{name: "ann"}, x);
# --- trailing commas
f(x, "a",) if g(x, );
declare h(String, );
test "t" { setup { g("a",); } assert f("a", "a",); }
# --- not and operators in shorthand rules
actor User {}
resource Doc {
  roles = ["a", "banned"];
  "a" if not "banned";
  "a" if "banned" and (not is_banned(actor));
  "a" if resource = actor;
  "a" if level > 3;
  "a" if actor in ["x"];
  "a" if actor matches User;
  "a" if ("banned" and actor == resource);
  "a" if is_level(resource, x) and x < 3;
  "a" if "banned";
}
# --- words of the older library are ordinary predicates, but their forms are not
f(x) if cut;
f(x) if forall(g(x), h(x));
f(x) if x matches User and print(x);
actor User {}
# --- comments of other languages
// who may do what
actor User {}
/* more
 * of it */
f(x) if g(x) // and why
  and h(x);
g("a");
# --- words of SQL, Prolog and chatbots
actor User {}
resource Org { roles = ["member"]; }
resource Doc {
  roles: ["a", "b"];
  relations: { org: Org, owner: User };
  permissions = ["read"];
  "read" if "a" OR "b" And "a";
  "read" if "a", "b";
  "read" when "a";
  "read" :- "a";
  "read" IF "a" and NOT "b";
  "read" if "member" ON "org";
  "read" if org.member;
  "read" if resource.org.member or "a";
  "read" if resource.owner;
  "read" if "org.member";
}
f(x) where g(x), not h(x);
f(x) iff g(x) and x IN ["a"];
f(x) if NOT (g(x)) AND not h(x);
# --- the same words as names
when(x) if iff(x) and NOT(x) or g(x);
f(x) if when(x);
