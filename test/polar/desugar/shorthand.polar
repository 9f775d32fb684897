# --- role and permission of the own type
actor User {}
resource Org {
  roles = ["admin", "member"];
  permissions = ["read"];
  "member" if "admin";
  "read" if "member";
}
# --- a relation to an actor
actor User {}
resource Doc {
  permissions = ["view"];
  relations = { owner: User };
  "view" if "owner";
}
# --- role, permission and relation on a related resource
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; relations = { owner: User }; }
resource Doc {
  permissions = ["by_role", "by_permission", "by_relation"];
  relations = { org: Org };
  "by_role" if "member" on "org";
  "by_permission" if "read" on "org";
  "by_relation" if "owner" on "org";
}
# --- every role and every permission, inherited
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; }
resource Doc {
  roles = ["any", "member"];
  permissions = ["read"];
  relations = { org: Org };
  role if role on "org";
  permission if permission on "org";
  permission if "member" on "org";
  "any" if role on "org";
  role if global role;
}
global { roles = ["root"]; }
# --- a relation to its own type
actor User {}
resource Folder { roles = ["viewer"]; relations = { folder: Folder }; role if role on "folder"; }
# --- on resource
actor User {}
resource Doc {
  roles = ["creator"]; permissions = ["edit"]; relations = { owner: User };
  "edit" if "creator" on resource;
  "edit" if "owner" on resource;
  permission if role on resource;
}
# --- global block and global names
actor User {}
global {
  roles = ["superadmin"]; permissions = ["create_org", "see"];
  "create_org" if "superadmin";
  "see" if "create_org" or is_staff(actor);
  "see" if global "superadmin";
}
resource Org {
  roles = ["admin"];
  "admin" if global "superadmin";
  "admin" if global "see";
}
# --- calls, and, or, parentheses
actor User {}
resource Org { roles = ["member"]; }
resource Doc {
  roles = ["viewer"]; permissions = ["view", "comment"]; relations = { org: Org };
  "view" if is_public(resource) or ("viewer" and global "root");
  "view" if "viewer" and is_live(resource) and "member" on "org";
  "view" if ("viewer" and ("viewer" and is_live(resource)));
  "comment" if "view" and is_closed(resource, false) and in_stage(resource, "draft");
  "comment" if has_grant(actor, grant, resource) and opens(grant, _, _);
}
global { roles = ["root"]; }
# --- each related resource has its own variable, apart from those that the rule names
actor User {}
resource Org { roles = ["member"]; }
resource Doc {
  permissions = ["view"]; relations = { org: Org, owner: Org };
  "view" if "member" on "org" and "member" on "owner";
  "view" if "member" on "org" and linked(resource, _1, _) and linked(_1, resource, _3);
}
# --- it is called like the relation, if the name is free
actor User {}
resource Org { roles = ["member"]; }
resource Doc {
  permissions = ["view"];
  relations = { org: Org, org_2: Org, actor: Org, role: Org, ok?: Org, _: Org, ns::rel: Org };
  "view" if "member" on "org" and ("member" on "org" or "member" on "org_2");
  "view" if "member" on "org" and linked(resource, org, org_2);
  "view" if "member" on "actor" and "member" on "role" and "member" on "ok?" and "member" on "ns::rel";
  "view" if "member" on "_" and linked(_, related, _);
}
# --- actor blocks take everything that resource blocks take
actor User {
  roles = ["manager"]; relations = { direct_manager: User };
  "manager" if "direct_manager";
  "manager" if "manager" on "direct_manager";
}
# --- names inherited through extends
actor User {}
resource Org { roles = ["member"]; }
resource Item {
  roles = ["viewer"]; permissions = ["view"]; relations = { org: Org };
  "view" if "viewer";
}
resource Doc extends Item, {
  permissions = ["print"];
  "print" if "viewer";
  "print" if "member" on "org";
  "view" if "print";
}
resource Box { relations = { doc: Doc }; permissions = ["open"]; "open" if "viewer" on "doc"; }
# --- flags are read and dropped
actor User {}
resource Doc { roles = ["a", "b"]; @internal "a" if "b"; }
@one @two f(x) if g(x);
