# --- a test with everything
test "it works" { setup { fixture base ; is_public( Doc{"d"} ); };
 assert     allow(User{"ann"}, "read", Doc{"d"}); assert_not allow(User{"bob"}, "read", Doc{"d"}) ;

  assert allow(User{"ann"}, action:String, Doc{"d"}) iff action in["read"];;
}
test fixture base { has_role(User{"ann"}, "member", Org{"o"}); level(Org{"o"}, -3, true); }
test "without setup" { assert f(_, x: String); }
test fixture none { }
test "nothing" {}
test "only a setup" { setup { } }
# --- conditions of assertions that do not fit
test "t" {
  assert allow(User{"ann"}, action: String, Document{"the-annual-report"}) iff action in ["read", "write"];
  assert allow(User{"ann"}, action: String, Document{"the-annual-report"}) iff action in ["read", "write", "comment", "share", "delete", "rename", "archive"];
}
# --- names of tests are strings
test "says \"hi\"\n	" {
}
