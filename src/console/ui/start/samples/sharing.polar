# Owners, links and the public: a note belongs to somebody, who can share it by a link or with everybody.

actor User {}
actor Visitor {} # somebody who is not logged in

resource Link {} # the secret part of its address is the id

resource Note {
  permissions = ["read", "edit", "share"];
  relations = { owner: User };

  "edit" if "owner";
  "share" if "owner";
  "read" if "edit";
  "read" if is_public(resource);
}

# Who presents a link of a note may read it. The application says so with the question, as a context fact:
# it stores which links there are, not who has seen them.
has_permission(actor: Actor, "read", note: Note) if
  link matches Link and
  presents(actor, link) and
  opens(link, note) and
  not is_revoked(link);

test "a note is for its owner, for holders of a link, or for everybody" {
  setup {
    has_relation(Note{"diary"}, "owner", User{"ann"});
    has_relation(Note{"recipe"}, "owner", User{"ann"});
    is_public(Note{"recipe"});
    opens(Link{"k7f2"}, Note{"diary"});
    opens(Link{"old1"}, Note{"diary"});
    is_revoked(Link{"old1"});
    presents(Visitor{"guest"}, Link{"k7f2"});
    presents(User{"bob"}, Link{"old1"});
  }
  assert allow(User{"ann"}, action: String, Note{"diary"}) iff action in ["read", "edit", "share"];
  assert allow(Visitor{"guest"}, action: String, Note{"diary"}) iff action in ["read"];
  assert_not allow(User{"bob"}, "read", Note{"diary"});
  assert allow(User{"bob"}, action: String, Note{"recipe"}) iff action in ["read"];
}
