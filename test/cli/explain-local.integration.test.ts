/** `ostiary explain --bindings` with PostgreSQL. */
import { expect, test } from "bun:test";
import { startPostgres } from "../database-servers.ts";
import { startDevNode } from "./dev-node.ts";
import { exampleTables, readExample } from "./issue-tracker.ts";
import { workspace } from "./workspace.ts";

const { write, path, run } = workspace();

test("with PostgreSQL", async () => {
  const server = await startPostgres();
  write("policy.polar", readExample("policy.polar"));
  const node = await startDevNode(["policy.polar"], { directory: path("") });
  try {
    await server.execute(exampleTables);
    write("postgres.yaml", readExample("bindings.yaml").replace("dialect: sqlite", "dialect: postgres"));
    const words = "explain User:bob close Issue:5 --bindings postgres.yaml --db $APP_DATABASE";
    const environment = { ...node.access, APP_DATABASE: server.url };
    const { status, output, errors } = await run(words.split(" "), "", environment);
    expect([status, errors]).toEqual([0, ""]);
    expect(output).toMatchInlineSnapshot(`
        "allowed with the rows of the database
          by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
            by "close" if "maintainer" on "repository" (policy.polar:37:3)
              has_relation(Issue:5, String:repository, Repository:1) is a row of has_relation(Issue:_, repository, Repository:_)
              has_role(User:bob, String:maintainer, Repository:1) is a row of has_role(User:_, String:_, Repository:_)
        without these rows
          denied: allow(User{"bob"}, "close", Issue{"5"})
            allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (policy.polar:40:1)
              holds:   not is_banned(User{"bob"})
              missing: has_permission(User{"bob"}, "close", Issue{"5"})
                "close" if "author" (policy.polar:36:3)
                  missing: has_relation(Issue{"5"}, "author", User{"bob"})
                "close" if "maintainer" on "repository" (policy.polar:37:3)
                  missing: has_relation(Issue{"5"}, "repository", _: Repository)
                  missing: has_role(User{"bob"}, "maintainer", _: Repository)
        "
      `);
  } finally {
    await node.stop();
    await server.stop();
  }
});
