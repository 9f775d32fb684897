# What the peers are asked, as one policy: a user who views a folder, directly or as a member of a group, views everything below it.

actor User {}

resource Group {
  roles = ["member"];
}

resource Folder {
  roles = ["viewer"];
  permissions = ["view"];
  relations = { parent: Folder, viewers: Group };

  "view" if "viewer";
  "viewer" if "member" on "viewers";
  "viewer" if "viewer" on "parent";
}

resource Document {
  roles = ["viewer"];
  permissions = ["view"];
  relations = { folder: Folder, viewers: Group };

  "view" if "viewer";
  "viewer" if "member" on "viewers";
  "viewer" if "viewer" on "folder";
}
