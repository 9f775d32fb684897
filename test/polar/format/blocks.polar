# --- empty blocks need no lines of their own
actor   User{ }
resource Org
{
}
global {}
actor Bot extends User,{};
# --- blocks that take lines stand apart
actor User {}
actor Bot {}
resource Org { roles=["admin","member",]; permissions = [ "read" ] ;
"member"if"admin"; }
global { roles = ["root"]; }
f("x");
resource Doc {}
# --- at most one empty line is kept, and none at the edges


resource Org {


  roles = ["admin"];
  permissions = ["read"];



  "read" if "admin";

}



actor User {}


# --- lists and dictionaries
resource Doc {
  roles = [];
  permissions = ["read"
    ,"write"
  ,];
  relations = {owner:User,org:Org,};
  other = {
  };
  relations = { a, };
}
# --- lists that do not fit
resource Doc {
  permissions = ["doc.read", "doc.write", "doc.comment", "doc.share", "doc.delete", "doc.rename", "doc.x"];
  permissions = ["doc.read", "doc.write", "doc.comment", "doc.share", "doc.delete", "doc.rename", "doc.xy"];
  relations = { organization: Organization, owner: User, folder: Folder, reviewers: Group, tenant: Tenant };
}
# --- supertypes that do not fit
resource Document extends Publishable, Archivable, Commentable, Shareable, Versioned, Taggable, Searchable {}
resource Document extends Publishable, Archivable, Commentable, Shareable, Versioned, Taggable, Searchable {
  roles = ["a"];
}
# --- shorthand rules of every form
resource Doc {
  "a" if "b"; "a" if "b" on "org" ;
  role if role on "org" ; permission if permission on resource;
  "a" if global "root" and global role;
  @flag @other "a" if is_public( resource ) or ("b" and (is_live(resource, true) or "c" on "org"));
}
# --- a shorthand rule that does not fit
resource Document {
  "document.comment" if "commenter" and is_open(resource, true) and "member" on "organization" or global "root";
}
# --- names in any letters
actor актор::Имя {}
resource R { relations = { ok?: ns::Type }; }
