# Roles: people have roles in organizations, and reach repositories through them.

actor User {}

resource Organization {
  roles = ["member", "owner"];
  permissions = ["read", "invite"];

  "member" if "owner"; # every owner is also a member

  "read" if "member";
  "invite" if "owner";
}

resource Repository {
  roles = ["reader", "writer"];
  permissions = ["read", "push", "delete"];
  relations = { organization: Organization };

  "reader" if "writer";
  "reader" if "member" on "organization"; # members read all repositories of their organization,
  "writer" if "owner" on "organization"; # and owners write to them

  "read" if "reader";
  "push" if "writer";
  "delete" if "owner" on "organization"; # a writer is not enough
}

test "roles in an organization reach its repositories" {
  setup {
    has_role(User{"olga"}, "owner", Organization{"acme"});
    has_role(User{"max"}, "member", Organization{"acme"});
    has_role(User{"max"}, "writer", Repository{"website"});
    has_relation(Repository{"website"}, "organization", Organization{"acme"});
    has_relation(Repository{"compiler"}, "organization", Organization{"acme"});
  }
  assert allow(User{"olga"}, action: String, Repository{"compiler"}) iff
    action in ["read", "push", "delete"];
  assert allow(User{"max"}, action: String, Repository{"website"}) iff action in ["read", "push"];
  assert allow(User{"max"}, "read", Repository{"compiler"});
  assert_not allow(User{"max"}, "push", Repository{"compiler"});
  assert_not allow(User{"max"}, "invite", Organization{"acme"});
  assert_not allow(User{"eve"}, "read", Repository{"website"});
}
