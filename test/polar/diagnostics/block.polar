# --- undeclared names
actor User {}
global { roles = ["superadmin"]; permissions = ["create"]; "create" if "superadmn"; "x" if "create"; }
resource Org {
  roles = ["admin", "member"]; permissions = ["read"];
  "read" if "membr";
  "read" if "superadmin";
  "write" if "admin";
  "read" if global "superadmn";
  "read" if global "zzzzz";
  "read" if "nothing_like_it" on resource;
}
# --- a global name without a global block
resource Org { roles = ["a"]; "a" if global "root"; }
# --- undeclared relations and names on the related type
actor User {}
resource Org { roles = ["member"]; permissions = ["see"]; relations = { parent: Org }; }
resource Doc {
  roles = ["viewer"]; relations = { org: Org, tag: Tag };
  "viewer" if "member" on "orgs";
  "viewer" if "member" on "viewer";
  "viewer" if "membr" on "org";
  "viewer" if "viewer" on "org";
  "viewer" if "anything" on "tag";
  "viewer" if "member" on org;
  "viewer" if role on "folder";
}
# --- a name not declared on the related type nor above it
actor User {}
resource Item { roles = ["viewer"]; }
resource Doc extends Item { roles = ["editor"]; }
resource Box { roles = ["a"]; relations = { doc: Doc, item: Item };
  "a" if "viewer" on "doc"; "a" if "editor" on "item"; "a" if "owner" on "doc"; }
# --- a relation to something that can have no block
actor User {}
resource Doc {
  roles = ["viewer"]; relations = { tag: String, owner: Actor };
  "viewer" if "member" on "tag";
  "viewer" if "member" on "owner";
}
# --- relations in the wrong place
actor User {}
resource Org { roles = ["member"]; }
resource Doc {
  roles = ["viewer"]; permissions = ["view"]; relations = { org: Org, owner: User, label: String };
  "owner" if "viewer";
  "view" if "org";
  "view" if "org" on resource;
  "view" if "owner" and "label";
}
# --- a relation to a resource, one step away
actor User {}
resource Org { relations = { folder: Org, boss: User }; }
resource Doc { roles = ["a"]; relations = { org: Org }; "a" if "folder" on "org"; "a" if "boss" on "org"; }
# --- a relation to a type above an actor, to any actor, to an undeclared type: may hold
resource Principal {}
actor User extends Principal {}
resource Doc { roles = ["a"]; relations = { owner: Principal, by: Actor, of: Resource, tag: Ghost };
  "a" if "owner"; "a" if "by"; "a" if "of"; "a" if "tag"; }
# --- words without quotes
actor User {}
resource Doc { roles = ["viewer"]; permissions = ["read"];
  viewer if "viewer"; "read" if viewer; "read" if public; "read" if global root; "read" if viewer on resource; }
# --- names declared twice
actor User {}
resource Doc {
  roles = ["a", "b", "a"]; permissions = ["read", "b"]; relations = { a: User, owner: User, owner: User };
}
# --- opened again: the same is fine, another meaning is not
actor User {}
resource Doc { roles = ["a", "b"]; relations = { owner: User }; }
resource Doc { roles = ["a"]; permissions = ["b"]; relations = { owner: Doc }; }
# --- sections
actor User {}
resource Doc {
  roles = ["a"]; roles = ["b"]; permisions = ["read"]; stuff = { a: User };
  permissions = { read: User }; relations = ["owner"];
}
resource Box { roles = [a, "b", 3, User{"x"}, "", "*"]; relations = { owner }; }
# --- actor and resource of one name
actor User {}
resource User { roles = ["a"]; }
# --- types of the language
actor Actor {} resource Resource {} resource String {} actor Integer {} resource Boolean {} resource global {}
# --- global blocks
global { roles = ["a"]; relations = { owner: User }; "a" if "a" on "owner"; "a" if "a" on resource; }
global { roles = ["b"]; }
actor User {}
# --- supertypes
actor User {}
resource Doc extends Itm, String, User, Actor {}
resource Item {}
resource Ghost extends Nothing { "a" if "b"; }
actor Bot extends Actor, User, Item {}
# --- circles of supertypes
resource A extends B {}
resource B extends C {}
resource C extends A {}
resource D extends A { roles = ["x"]; "x" if "y"; }
resource E extends E {}
# --- conflicting names through extends
actor User {}
resource One { roles = ["x"]; relations = { owner: User }; }
resource Two { permissions = ["x"]; relations = { owner: One }; }
resource Both extends One, Two {}
resource Own extends One { permissions = ["x"]; roles = ["owner"]; }
resource Same extends One { roles = ["x"]; }
# --- types that are not declared
resource Doc { relations = { owner: Usr, folder: Folder, also: Folder }; }
resource User { roles = ["a"]; "a" if has_tag(resource, Tag{"x"}) and has(actor, Actor{"a"}, User{"*"}, Integer{"3"}, Org{""}); }
# --- variables that occur once in a shorthand rule
actor User {}
global { roles = ["b"]; "b" if is_public(resource, actor); }
resource Doc { roles = ["a"]; role if level(resource, level) and knows(actor, role, _, _x); "a" if knows(role, _, _); }
# --- neighbours that changed places
resource Org { roles = ["member"]; permissions = ["read"]; "raed" if "memebr"; }
