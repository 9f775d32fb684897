# An issue tracker. Organizations own repositories, repositories have issues. All of this is in the database of the application;
# the node stores only who is banned and who is in support.

actor User {}

global {
  roles = ["support"];
}

resource Organization {
  roles = ["owner", "member"];

  "member" if "owner";
}

resource Repository {
  roles = ["reader", "maintainer"];
  permissions = ["read"];
  relations = { organization: Organization };

  "reader" if "maintainer";
  "maintainer" if "owner" on "organization";
  "reader" if "member" on "organization";

  "read" if "reader";
  "read" if is_public(resource);
  "read" if global "support";
}

resource Issue {
  permissions = ["read", "comment", "close"];
  relations = { repository: Repository, author: User };

  "read" if "read" on "repository";
  "comment" if "read";
  "close" if "author";
  "close" if "maintainer" on "repository";
}

allow(user: User, action: String, resource: Resource) if
  has_permission(user, action, resource) and
  not is_banned(user);
