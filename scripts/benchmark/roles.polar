# Roles, and nothing else: on organizations, and on repositories, which inherit those of their organization.

actor User {}

resource Organization {
  roles = ["owner", "member"];

  "member" if "owner";
}

resource Repository {
  roles = ["reader", "writer", "admin"];
  permissions = ["read", "write", "delete"];
  relations = { organization: Organization };

  "writer" if "admin";
  "reader" if "writer";
  "admin" if "owner" on "organization";
  "reader" if "member" on "organization";

  "read" if "reader";
  "write" if "writer";
  "delete" if "admin";
}
