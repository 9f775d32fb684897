# --- unexpected token
actor User;
resource Org { roles ["a"]; }
f(x) if g(x) h(x);
f(x, "a": String);
f(x) if x;
f(x) if 3;
f(x) if "a" matches String;
f(x) if x matches T{"a"};
resource Doc { relations = { owner User }; }
resource Box { relations = { owner: }; }
declare p(String Integer);
test 3 {}
) (
# --- the file ends early
f(x) if g(x,
# --- the file ends in a rule
f(x) if
# --- missing semicolon before a closing brace and at the end
actor User {}
resource Org { roles = ["a"] }
resource Doc { roles = ["a", "b"]; "a" if "b" }
test "t" { setup { f("x") } assert f("x") }
declare f(String)
# --- missing brace
actor User {}
resource Org {
  roles = ["admin"];
resource Doc {
  permissions = ["read"];
  "read" if "reader";
}
# --- missing brace at the end, three levels deep
test "t" {
  setup {
    f("x");
# --- a brace too many
actor User {} }
resource Org {} }
# --- reserved words are no names
matches(x) if not(x);
f(if) if g(and);
resource in {}
resource Org { relations = { or: Org }; roles = [not]; }
# --- characters without a meaning
f('a') if x $ y;
f(x) if g(~~~x);
f(§) if g(a::);
@ f(x);
f("a" ; b) if g(\);
# --- strings without an end
actor User {}
resource Org { roles = ["admin, "member"]; permissions = ["read"];
  "read" if "admin;
  "read" if "member";
}
f("x) if g(x);
g("y");
# --- half a surrogate pair comes from an escape only in JSON, so it is tested elsewhere; control characters are shown as codes
f() if g();
# --- numbers
f(1.5, 1e9, 2.5e-3) if g(x, -1.0);
f(9223372036854775808, -9223372036854775809, 123456789012345678901234567890);
# --- unknown statement
resorce Org { roles = ["a"]; "b" if "c"; }
allow(u: User, "read", d: Doc) if foo(u, d);
import "x";
rule = 3;
policy
actor User {}
# --- setup in the wrong place
test "late" { assert f("x"); setup { f("x"); } }
test "twice" { setup {} setup {} }
# --- rules and fixtures where only facts stand
f("x") if g("x");
test "t" { setup { f("x") if g("x"); f("y"); } assert f("y"); }
test fixture one { f("x"); }
test fixture two { fixture one; f("y"); }
# --- other things inside a test
test "t" { f("x"); asert f("x"); assert f("x"); }
# --- missing semicolons in the middle of a line
actor User {} f(x) if g(x) test "t" { setup { g("a"); } assert f("a") assert_not f("b"); }
resource Doc { roles = ["a", "b"] permissions = ["p"]; "a" if "b" "p" if "a"; }
f("c") resource Org {}
# --- a setup that is never closed
f(x) if g(x);
test "t" { setup { g("a"); assert f("a"); assert_not f("b"); }
# --- several habits in one body
f(x) if g(x) && x == y || !h(x) and now() < end & until(x, end);
f(x) if @current_time < end and until(x, end) and 3 > level(x);
f(x) if has(x, owner(x)) and in_time(x);
# --- single and typographic quotes are told of once
resource Doc { roles = ['viewer', “editor”]; permissions = [‘view’]; 'view' if "viewer"; }
f(`a`);
it's(x);
# --- a chain of relations
actor User {}
resource Org { roles = ["admin"]; }
resource Project { roles = ["admin"]; relations = { org: Org }; "admin" if "admin" on "org"; }
resource Task { roles = ["admin"]; relations = { project: Project }; "admin" if "admin" on "org" on "project"; "admin" if "amdin"; }
# --- negated assertions
f("a");
test "t" { assert !f("b"); assert not f("c"); assert_not f("d"); }
# --- a schema of SpiceDB
// Everybody.
definition user {}
definition doc { relation viewer: user | group#member
  permission view = viewer + owner }
# --- a schema of OpenFGA
model
  schema 1.1
type user
type doc
  relations
    define viewer: [user] or owner
# --- chains of relations: of a word, of three, the nearest first
actor User {}
resource Org { roles = ["admin"]; }
resource Team { roles = ["admin"]; relations = { org: Org }; role if role on "org"; }
resource Project { roles = ["admin"]; relations = { team: Team }; role if role on "team"; }
resource Task {
  roles = ["admin"];
  relations = { project: Project };
  role if role on "team" on "project";
  "admin" if role on "project" on "team";
  "admin" if ("admin" on "org" on "team" on "project");
}
# --- values with parentheses, conditions compared with truth
f(x) if g(x, User("a")) and User("b") = x and x in [Doc("d"), Doc(1)];
f(x) if is_admin(x) = true and is_new(x) == false or is_old(x) != true;
f(x) if true = is_admin(x) or false != is_new(x);
has_role(User("a"), "viewer", Doc("d"));
test "t" { setup { has_role(User("a"), "viewer", Doc("d")); } assert allow(User("a"), "read", Doc("d")); }
test fixture f { has_role(owner("a"), "viewer", Doc{"d"}); has_role(user, "viewer", Doc{"d"}); }
# --- calls side by side as values
f(x) if forall(g(x), h(x));
f(x) if has(owner(x), boss(x)) and 3 < level(x);
# --- a negated assertion behind a setup that is never closed
f("a");
test "t" { setup { g("a"); assert !f("b"); }
# --- quotes that are mixed
resource Doc { roles = [“viewer", "editor"]; permissions = [‘view', 'edit’]; "view" if "viewer"; }
# --- quotes of full width
resource Doc { roles = [＂viewer＂]; }
f(＇a＇);
# --- a string that a typographic quote was to close
f("a”, x) if g(x);
f("b “c” d, x) if g(x);
# --- flags within a rule
f(x) if @fast g(x) and @slow not h(x) and @now = x;
f(x) @fast if g(x);
resource Doc { roles = ["a", "b"]; "a" if @fast "b"; }
# --- a schema of SpiceDB that begins with a caveat
caveat is_open(day int) { day < 6 }
definition user {}
# --- a schema of SpiceDB that uses something
use expiration
definition user {}
# --- a schema of OpenFGA without its first lines
type user
type doc
  relations
    define viewer: [user]
# --- a module of OpenFGA
module wiki
extend type user
# --- a policy of Cedar
@id("1")
permit (principal == User::"ann", action, resource);
# --- another policy of Cedar
forbid(
  principal,
  action in [Action::"view"],
  resource
) unless { resource.open };
# --- a third policy of Cedar
permit(principal, action, resource) when { principal.admin };
# --- Polar that looks like Cedar
permit(principal, action, resource) if may(principal, action, resource);
# --- a condition compared with truth in a shorthand rule
actor User {}
resource Doc { permissions = ["view", "edit"]; "view" if is_open(resource) = true; "edit" if is_open(resource) = false; }
# --- a file of comments
# nothing yet
