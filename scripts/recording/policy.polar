actor User {}

resource Folder {
  roles = ["reader"];
}

resource Doc {
  permissions = ["read"];
  roles = ["reader"];
  relations = { folder: Folder };

  "read" if "reader";
  "reader" if "reader" on "folder";
}

test "readers of a folder read its documents" {
  setup {
    has_role(User{"ann"}, "reader", Folder{"plans"});
    has_relation(Doc{"budget"}, "folder", Folder{"plans"});
  }

  assert allow(User{"ann"}, "read", Doc{"budget"});
  assert_not allow(User{"bob"}, "read", Doc{"budget"});
}
