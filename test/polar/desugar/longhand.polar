# --- blocks opened again are merged, supertypes and all
resource Item {} resource Base {}
resource Doc extends Item { roles = ["a"]; permissions = ["read"]; "read" if "a"; }
actor User {}
resource Doc extends Base, Item { roles = ["b", "a"]; relations = { owner: User }; "a" if "owner"; }
actor Bot extends Actor {} resource Thing extends Resource {}
# --- parameters of every form
f(u: User, _: Org, _named: Org, "text", 3, -4, true, Territory{"USA"}, String{"alt"}, Integer{7}, Boolean{false}, x, @current_unix_time) if g(x, u);
actor User {} resource Org {} resource Territory {}
# --- policy facts, with and without wildcards
actor User {} resource Org {}
has_role(_: User, "user");
has_default_role(_: Org, "member", _);
plan_quota("pro", "repository", 10);
nullary();
# --- every form of expression
f(x, y) if true = x and y != x;
f(x, y) if fact(y) and x < y and x <= 3 and 3 > x and y >= @current_unix_time;
f(x, y) if x in ["a", "b",] and y in [User{"u"}, 3, true];
f(x, y) if x matches User and y matches! User and not g(x, y);
f(x, y) if not not g(x, y) and not (g(x, y) or h(x)) and (g(x, x) or (h(y) or h(x)));
f(x, _y) if not x = "a" and h(x);
f(_, _) if true;
f(_, _) if false;
actor User {}
# --- anonymous variables get names that the rule does not use
f(_, _1, x: String) if g(_, _, _1, x) and not h(_, _3, x);
# --- precedence: not binds more than and, and more than or
f(x) if not a(x) and b(x) or c(x) and (d(x) or e(x));
# --- keywords are names where they can be nothing else
actor test {}
resource declare {}
global(actor) if setup(actor);
type(resource, role) if on(resource, role) and iff(fixture, permission) and assert(fixture, permission);
test(x) if x = "roles" and extends(x, x);
# --- identifiers in other letters, with :: and ?
актор::Имя(ключ) if ok?(ключ, ns::sub::name?) and ns::sub::name? matches ns::Type;
resource ns::Type {}
# --- stray semicolons
;actor User {};
resource Org { ; roles = ["a"];; };
f("x");;
test "t" { ; setup { ; f("x");; } ; assert f("x");; };
# --- strings and integers
f("tab\t quote\" back\\ line\n other\q", "üñí 漢 🦉", 007, -0, +5, 9223372036854775807, -9223372036854775808);
# --- an own allow rule removes the default
allow(actor, action, resource) if has_permission(actor, action, resource) and not is_banned(actor);
# --- an empty policy still allows
# nothing but a comment
# --- declarations
declare has_tag(Doc, String);
declare has_tag(Doc, Integer, Boolean, Doc, String);
resource Doc {}
# --- fixtures go into the tests that name them, wherever they stand
actor User {} resource Org { roles = ["a"]; }
test "before" { setup { fixture base; has_role(User{"z"}, "a", Org{"o"}); fixture more; } assert allow(User{"z"}, x: String, Org{"o"}) iff
  x in ["read"]; assert_not f(_, _: User, y); }
test fixture base { has_role(User{"u"}, "a", Org{"o"}); }
test fixture more { is_public(Org{"o"}); level(Org{"o"}, 3, true); }
test fixture unused {}
test "without setup" { assert f(true, -1, "x"); }
test "without assertion" { setup { } }
# --- literals with an integer or a boolean for an id
f(Order{1}, Flag{true});
resource Order {} resource Flag {}
