# A code-hosting company: organizations own folders, folders nest and hold repositories, repositories have issues.
# People get at them through organizations, through teams (which nest as well), through time-limited access, or because a repository
# is public; a banned user gets at nothing.

actor User {}

global {
  roles = ["support"];
  permissions = ["create_organization"];

  "create_organization" if "support";
}

resource Organization {
  roles = ["owner", "member"];
  permissions = ["read", "invite", "delete"];

  "member" if "owner";

  "read" if "member";
  "read" if global "support";
  "invite" if "owner";
  "delete" if "owner";
}

resource Team {
  roles = ["maintainer", "member"];
  permissions = ["read", "add_member"];
  relations = { organization: Organization, parent: Team };

  "member" if "maintainer";
  "read" if "member" on "organization";
  "add_member" if "maintainer";
  "add_member" if "owner" on "organization";
}

# Who is in a team is also in every team above it, at any depth.
has_role(user: User, "member", team: Team) if
  child matches Team and
  has_relation(child, "parent", team) and
  has_role(user, "member", child);

resource Folder {
  roles = ["reader", "writer", "admin"];
  permissions = ["read", "create_repository"];
  relations = { organization: Organization, parent: Folder };

  "writer" if "admin";
  "reader" if "writer";
  "admin" if "owner" on "organization";
  role if role on "parent";

  "read" if "reader";
  "create_repository" if "writer";
}

resource Repository {
  roles = ["reader", "writer", "admin"];
  permissions = ["read", "write", "delete", "open_issue"];
  relations = { folder: Folder };

  "writer" if "admin";
  "reader" if "writer";
  role if role on "folder";

  "read" if "reader";
  "read" if is_public(resource);
  "write" if "writer";
  "delete" if "admin";
  "open_issue" if "read";
}

# What a team was granted, its members have.
has_role(user: User, role: String, folder: Folder) if
  team matches Team and
  grants_role(team, role, folder) and
  has_role(user, "member", team);

has_role(user: User, role: String, repository: Repository) if
  team matches Team and
  grants_role(team, role, repository) and
  has_role(user, "member", team);

# A contractor's access ends by itself.
has_role(user: User, role: String, repository: Repository) if
  ends matches Integer and
  has_role_until(user, role, repository, ends) and
  @current_unix_time < ends;

resource Issue {
  permissions = ["read", "comment", "close"];
  relations = { repository: Repository, creator: User };

  "read" if "read" on "repository";
  "close" if "creator" and "read";
  "close" if "write" on "repository";
}

has_permission(user: User, "comment", issue: Issue) if
  has_permission(user, "read", issue) and
  not is_locked(issue);

# The last word: a banned user may do nothing, whatever else is known.
allow(user: User, action: String, resource: Resource) if
  has_permission(user, action, resource) and
  not is_banned(user);

allow(user: User, action: String) if has_permission(user, action) and not is_banned(user);

test fixture company {
  has_role(User{"ada"}, "owner", Organization{"acme"});
  has_role(User{"max"}, "member", Organization{"acme"});
  has_relation(Folder{"src"}, "organization", Organization{"acme"});
  has_relation(Folder{"src/tools"}, "parent", Folder{"src"});
  has_relation(Repository{"compiler"}, "folder", Folder{"src/tools"});
}

test "an owner's power reaches through the folders" {
  setup {
    fixture company;
  }
  assert allow(User{"ada"}, "delete", Repository{"compiler"});
  assert_not allow(User{"max"}, "read", Repository{"compiler"});
  assert allow(User{"ada"}, action: String, Organization{"acme"}) iff
    action in ["read", "invite", "delete"];
}

test "a grant to a team reaches the members of the teams below it" {
  setup {
    fixture company;
    has_relation(Team{"parsers"}, "parent", Team{"compilers"});
    has_relation(Team{"compilers"}, "parent", Team{"engineering"});
    has_role(User{"pia"}, "member", Team{"parsers"});
    has_role(User{"eve"}, "maintainer", Team{"engineering"});
    grants_role(Team{"engineering"}, "writer", Folder{"src"});
    grants_role(Team{"parsers"}, "admin", Repository{"compiler"});
  }
  assert allow(User{"pia"}, "create_repository", Folder{"src/tools"});
  assert allow(User{"pia"}, "delete", Repository{"compiler"});
  assert allow(User{"eve"}, "write", Repository{"compiler"});
  assert_not allow(User{"eve"}, "delete", Repository{"compiler"});
}

test "a public repository is read by all but the banned" {
  setup {
    fixture company;
    is_public(Repository{"website"});
    is_banned(User{"mallory"});
    has_role(User{"mallory"}, "owner", Organization{"acme"});
  }
  assert allow(User{"somebody"}, "read", Repository{"website"});
  assert_not allow(User{"somebody"}, "write", Repository{"website"});
  assert_not allow(User{"mallory"}, "read", Repository{"website"});
  assert_not allow(User{"mallory"}, "delete", Repository{"compiler"});
}

test "issues follow their repository, their creator and their lock" {
  setup {
    is_public(Repository{"website"});
    has_relation(Issue{"1"}, "repository", Repository{"website"});
    has_relation(Issue{"1"}, "creator", User{"carla"});
    has_relation(Issue{"2"}, "repository", Repository{"website"});
    is_locked(Issue{"2"});
  }
  assert allow(User{"carla"}, action: String, Issue{"1"}) iff
    action in ["read", "comment", "close"];
  assert allow(User{"somebody"}, action: String, Issue{"1"}) iff action in ["read", "comment"];
  assert allow(User{"carla"}, action: String, Issue{"2"}) iff action in ["read"];
}

test "time-limited access ends" {
  setup {
    has_role_until(User{"tom"}, "writer", Repository{"compiler"}, 4102444800);
    has_role_until(User{"old"}, "writer", Repository{"compiler"}, 1577836800);
  }
  assert allow(User{"tom"}, "write", Repository{"compiler"});
  assert_not allow(User{"old"}, "read", Repository{"compiler"});
}

test "support staff sees every organization and may found new ones" {
  setup {
    has_role(User{"sue"}, "support");
  }
  assert allow(User{"sue"}, "read", Organization{"any"});
  assert allow(User{"sue"}, "create_organization");
  assert_not allow(User{"max"}, "create_organization");
}

test "a stronger role is every weaker one as well" {
  setup {
    fixture company;
    has_role(User{"tom"}, "writer", Folder{"src"});
    has_role(User{"wim"}, "reader", Repository{"compiler"});
    has_relation(Issue{"7"}, "repository", Repository{"compiler"});
  }
  assert allow(User{"ada"}, "read", Folder{"src"});
  assert allow(User{"ada"}, action: String, Repository{"compiler"}) iff
    action in ["read", "write", "delete", "open_issue"];
  assert allow(User{"tom"}, "close", Issue{"7"});
  assert allow(User{"wim"}, action: String, Repository{"compiler"}) iff
    action in ["read", "open_issue"];
  assert_not allow(User{"wim"}, "close", Issue{"7"});
}

test "a team is seen by its organization, and grown by its maintainers and the owners of the organization" {
  setup {
    fixture company;
    has_relation(Team{"compilers"}, "organization", Organization{"acme"});
    has_role(User{"eve"}, "maintainer", Team{"compilers"});
  }
  assert allow(User{"max"}, action: String, Team{"compilers"}) iff action in ["read"];
  assert allow(User{"eve"}, action: String, Team{"compilers"}) iff action in ["add_member"];
  assert allow(User{"ada"}, action: String, Team{"compilers"}) iff action in ["read", "add_member"];
}
