# --- duplicate names
test "one" {}
test "two" {}
test "one" {}
test fixture base {}
test fixture base {}
test fixture one {}
# --- unknown fixtures
test fixture basics {}
test "t" { setup { fixture basic; fixture elsewhere; } }
# --- facts that cannot be
actor User {}
test fixture f { g(); g("a", "b", "c", "d", "e", "f"); g("*", "", User{"*"}, User{""}); g(Actor{"a"}, Integer{"x"}, Usr{"b"}); }
test "t" { setup { g(x, "a"); g(_); g(@current_unix_time); g(User{x}); g(User{"ok"}); } assert g(User{"*"}); }
# --- iff
actor User {}
test "t" {
  assert allow(User{"a"}, action: String) iff action in ["read", "write"];
  assert allow(User{"a"}, action: String) iff other in ["read"];
  assert allow(User{"a"}, _: String) iff _ in ["read"];
  assert allow(User{"a"}, action: String) iff action = "read";
  assert allow(User{"a"}, action: String) iff action in ["read"] and action in ["write"];
  assert allow(User{"a"}, action: String) iff "read" in ["read"];
  assert allow(User{"a"}, action: String) iff action in [action];
  assert allow(User{"a"}, action: String) iff;
}
# --- the clock in an assertion
test "t" { assert expires(@current_unix_time); assert_not later(User{"a"}, @current_unix_time); }
# --- a misspelt role in a setup
actor User {}
resource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }
test "t" { setup { has_role(User{"a"}, "reeder", Doc{"d"}); } assert_not allow(User{"a"}, "read", Doc{"d"}); }
