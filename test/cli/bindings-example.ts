/** A policy and its data bindings. */

export const policy = `actor User {}
resource Team { roles = ["member", "lead"]; permissions = ["read"]; "read" if "member"; "member" if "lead"; }
resource Doc {
  permissions = ["read"]; relations = { team: Team };
  "read" if "read" on "team";
}
has_permission(_: User, "read", doc: Doc) if size(doc, n) and n < 10 and is_open(doc, true);
`;
export const bindings = `facts:
  has_role(User:_, String:_, Team:_):
    query: SELECT user_id, role, team_id FROM members
  has_relation(Doc:_, team, Team:_):
    query: SELECT id, team_id FROM docs
  size(Doc:_, Integer:_):
    query: SELECT id, size FROM docs
  is_open(Doc:_, Boolean:_):
    query: SELECT id, is_open FROM docs
sql_types:
  User: text
  Team: bigint
  Doc: bigint
`;
