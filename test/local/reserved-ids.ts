/**
 * Rows with ids that no fact can have, the empty one and `*`: they are no facts, also under a negation, and a question
 * about such an id gets the answer of `authorize`.
 */
import { expect } from "bun:test";
import { parseBindings } from "../../src/local/bindings.ts";
import { parseFact } from "../cases/case.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import type { AppDatabase } from "./databases.ts";
import { bindingLimits } from "./split.ts";

const policy = `
actor User {}
resource Doc {
  roles = ["owner"]; permissions = ["own", "open", "join", "all"]; relations = { parent: Doc };
  "own" if "owner";
}
has_permission(user: User, "open", doc: Doc) if not has_role(user, "owner", doc);
has_permission(user: User, "join", doc: Doc) if has_relation(doc, "parent", up) and has_role(user, "owner", up);
has_permission(_: User, "all", _: Doc);
`;
const ids = ["d1", "d2", "*", ""];
const users = ["ann", "*", ""];

/** The answers of `listLocal`, `authorizeLocal` and `authorize` are the same on the database. */
export async function expectOrdinaryAnswers(database: AppDatabase): Promise<void> {
  const { dialect } = database;
  const facts = ["has_role(User:ann, owner, Doc:d1)", "has_relation(Doc:d2, parent, Doc:d1)"].map(parseFact);
  using engine = openFilledEngine({ policy, facts, now: 1 });
  using local = openFilledEngine({ policy, facts: [], now: 1 });
  const binding = (query: string) => ({ query });
  const bindings = parseBindings(
    JSON.stringify({
      dialect,
      facts: {
        "has_role(User:_, String:_, Doc:_)": binding("SELECT a0, a1, a2 FROM roles"),
        "has_relation(Doc:_, parent, Doc:_)": binding("SELECT a0, a1 FROM parents"),
      },
    }),
    bindingLimits,
  );
  const strange = users.flatMap((user) => ids.map((id) => [user, "owner", id]));
  await database.fill([
    { name: "docs", types: ["text"], rows: ids.map((id) => [id]) },
    {
      name: "roles",
      types: ["text", "text", "text"],
      rows: strange.filter(([user, , id]) => user !== "ann" || id === "d1" || id === "*" || id === ""),
    },
    {
      name: "parents",
      types: ["text", "text"],
      rows: [
        ["d2", "d1"],
        ...ids.flatMap((id) => [
          [id, "*"],
          [id, ""],
        ]),
        ["*", "d1"],
        ["", "d1"],
      ],
    },
  ]);
  for (const action of ["own", "open", "join", "all"]) {
    for (const actor of users.map((id) => ({ type: "User", id }))) {
      const common = { actor, action, contextFacts: [] };
      const condition = local.engine.local.listSql({ ...common, resourceType: "Doc", column: "a0", bindings });
      const listed = (await database.rows(`SELECT a0 FROM docs WHERE ${condition}`)).map(([id]) => id);
      for (const id of ids.filter((each) => each !== "")) {
        const resource = { type: "Doc", id };
        const allowed = engine.engine.authorize({ ...common, resource });
        const sql = local.engine.local.authorizeSql({ ...common, resource, bindings });
        const [row] = await database.rows(sql);
        const truths = ["1", "t", "true"];
        expect({
          action,
          actor: actor.id,
          id,
          sql: truths.includes(String(row?.[0])),
          listed: listed.includes(id),
        }).toEqual({
          action,
          actor: actor.id,
          id,
          sql: allowed,
          listed: allowed,
        });
      }
    }
  }
}
