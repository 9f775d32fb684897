# Teams in teams: a project gives roles to teams, and who is in a team is also in every team around it.

actor User {}

resource Team {
  roles = ["member", "lead"];
  permissions = ["read", "add_member"];
  relations = { parent: Team };

  "member" if "lead";

  "read" if "member";
  "add_member" if "lead";
}

resource Project {
  roles = ["reader", "contributor"];
  permissions = ["read", "change"];

  "reader" if "contributor";

  "read" if "reader";
  "change" if "contributor";
}

# The members of an inner team are members of the outer one. Leads stay leads of their own team only.
has_role(user: User, "member", outer: Team) if
  inner matches Team and
  has_relation(inner, "parent", outer) and
  has_role(user, "member", inner);

# A role of a team is a role of each member.
has_role(user: User, role: String, project: Project) if
  team matches Team and
  team_role(team, role, project) and
  has_role(user, "member", team);

test "members of inner teams have the roles of outer teams, and not the other way" {
  setup {
    has_relation(Team{"search"}, "parent", Team{"backend"});
    has_relation(Team{"backend"}, "parent", Team{"engineering"});
    has_role(User{"mia"}, "lead", Team{"search"});
    has_role(User{"tom"}, "member", Team{"engineering"});
    team_role(Team{"engineering"}, "reader", Project{"roadmap"});
    team_role(Team{"backend"}, "contributor", Project{"index"});
  }
  assert allow(User{"mia"}, "read", Project{"roadmap"});
  assert_not allow(User{"mia"}, "change", Project{"roadmap"});
  assert allow(User{"mia"}, "change", Project{"index"});
  assert_not allow(User{"tom"}, "read", Project{"index"});
  assert allow(User{"mia"}, "add_member", team: Team) iff team in [Team{"search"}];
  assert_not allow(User{"eve"}, "read", Project{"roadmap"});
}
