# --- one missing semicolon is one message, and the rest is still checked
actor User {}
resource Org {
  roles = ["admin", "member"]
  permissions = ["read"];
  "member" if "admin"
  "read" if "member";
  role if role on "nowhere"
}
allow(u: User, "read", o: Org) if foo(u, o)
allow(u: User, "write", o: Org) if bar(u, o)
resource Doc { roles = ["a"]; "a" if "b"; }
# --- a broken section hides its names, so nothing is called undeclared because of it
actor User {}
resource Org { roles = ["admin" "member"]; permissions = ["read"]; "read" if "member"; "nope" if "member"; }
resource Doc extends Org { roles = ["x"]; "x" if "member"; }
resource Box { relations = { org: Org }; roles = ["y"]; "y" if "member" on "org"; "y" if "z"; }
# --- a broken rule does not
actor User {}
resource Org { roles = ["admin"]; "admin" if ; "admin" if "membr" or; "admin" if "member"; }
# --- a broken block header hides its type
actor User {}
resource 3Org { roles = ["a"]; "a" if "b"; }
resource Doc extends Org { relations = { org: Org }; "x" if "y"; }
f(o: Org, x) if g(o);
# --- braces inside a broken statement do not end the block
actor User {}
resource Org {
  relations = { a: , b: User };
  roles = ["admin"];
  "admin" if has(User{"x", actor);
  "admin" if has(User{}, actor);
  "admin" if "undeclared";
}
# --- every error of a file at once
f(x) if g(x;
h(x) if ;
actor User { roles = [; permissions = [1]; }
k("a") if l("a") and;
test "t" { setup { f(; g("a"); } assert ; assert g("a") iff; assert_not g(x) g; }
resource Doc { "a" if "b" on; "a" if on "b"; "a" if global; "a" "b"; a: b; }
# --- deep inside parentheses
f(x) if g(x) and ((h(x) or (k(x))) and (l(x);
f(x) if g(x) and (h(x)));
f(x) if g(x);
# --- a broken declaration is one message, and declares no type
declare f(User{"a"}, Doc{"d"});
resource Doc { roles = ["a"]; "a" if "b"; }
type g(User{x});
f(1.5);
