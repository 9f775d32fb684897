# Folders in folders: what somebody may do in a folder, they may do in everything below it, at any depth.

actor User {}

resource Folder {
  roles = ["viewer", "editor"];
  relations = { parent: Folder };

  "viewer" if "editor";
  role if role on "parent"; # all roles of the folder above
}

resource Document {
  roles = ["viewer", "editor"];
  permissions = ["read", "comment", "edit"];
  relations = { folder: Folder };

  "viewer" if "editor";
  role if role on "folder";

  "read" if "viewer";
  "comment" if "viewer";
  "edit" if "editor";
}

test "roles of a folder hold in all folders below, and not above" {
  setup {
    has_relation(Folder{"2026"}, "parent", Folder{"reports"});
    has_relation(Folder{"january"}, "parent", Folder{"2026"});
    has_relation(Document{"sales"}, "folder", Folder{"january"});
    has_relation(Document{"plan"}, "folder", Folder{"reports"});
    has_role(User{"ida"}, "editor", Folder{"reports"});
    has_role(User{"ben"}, "viewer", Folder{"2026"});
    has_role(User{"lea"}, "editor", Document{"sales"});
  }
  assert allow(User{"ida"}, "edit", document: Document) iff
    document in [Document{"sales"}, Document{"plan"}];
  assert allow(User{"ben"}, action: String, Document{"sales"}) iff action in ["read", "comment"];
  assert_not allow(User{"ben"}, "read", Document{"plan"});
  assert allow(User{"lea"}, action: String, Document{"sales"}) iff
    action in ["read", "comment", "edit"];
  assert_not allow(User{"lea"}, "read", Document{"plan"});
}
