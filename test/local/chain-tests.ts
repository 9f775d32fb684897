/** Chains of 2,000 facts in rows, in the store, and in both: databases must follow them to the end, or say that they can't. */
import { describe, expect, test } from "bun:test";
import { type DataBindings, parseBindings } from "../../src/local/bindings.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import type { AppDatabase, NamedDatabase } from "./databases.ts";
import { bindingLimits } from "./split.ts";

/** `--full` follows long chains everywhere. */
const isFull = process.env["LOCAL_FULL"] === "1";
const policy = `
actor User {}
resource Folder {
  roles = ["viewer"]; permissions = ["read"]; relations = { parent: Folder };
  "viewer" if "viewer" on "parent";
}
has_permission(user: User, "read", folder: Folder) if has_role(user, "viewer", folder) and not is_locked(folder);
`;
const start: Fact = {
  predicate: "has_role",
  args: [
    { type: "User", id: "ann" },
    { type: "String", id: "viewer" },
    { type: "Folder", id: "0" },
  ],
};

const below = (index: number): Fact => ({
  predicate: "has_relation",
  args: [
    { type: "Folder", id: String(index) },
    { type: "String", id: "parent" },
    { type: "Folder", id: String(index - 1) },
  ],
});

/** Where the fact that leads to a folder is. */
type Place = "rows" | "store" | "context";

function placeOfMixed(index: number): Place {
  if (index % 20 === 0) return "context";
  return index % 3 === 0 ? "store" : "rows";
}

/** Defines the tests for each database. */
export function chainTests(databases: readonly NamedDatabase[]): void {
  describe.each(databases)("%s", (name, open) => {
    const whole = async (
      database: AppDatabase,
      length: number,
      placeOf: (index: number) => Place,
      without?: number,
    ) => {
      const numbers = Array.from({ length: length - 1 }, (_, index) => index + 1).filter((index) => index !== without);
      const at = (place: Place): number[] => numbers.filter((index) => placeOf(index) === place);
      await database.fill([
        {
          name: "parents",
          types: ["bigint", "bigint"],
          indexes: [1],
          rows: at("rows").map((index) => [String(index), String(index - 1)]),
        },
        { name: "locked", types: ["bigint"], rows: [["7"], [null]] },
        { name: "folders", types: ["bigint"], rows: Array.from({ length: length + 1 }, (_, index) => [String(index)]) },
      ]);
      const bindings: DataBindings = parseBindings(
        JSON.stringify({
          dialect: database.dialect,
          facts: {
            "has_relation(Folder:_, parent, Folder:_)": { query: "SELECT a0, a1 FROM parents" },
            "is_locked(Folder:_)": { query: "SELECT a0 FROM locked" },
          },
          sql_types: { Folder: "bigint" },
        }),
        bindingLimits,
      );
      using opened = openFilledEngine({ policy, facts: [start, ...at("store").map(below)], now: 1 });
      const contextFacts = at("context").map(below);
      const actor = { type: "User", id: "ann" };
      const list = opened.engine.local.listSql({
        ...{ actor, action: "read", resourceType: "Folder", column: "folders.a0", contextFacts, bindings },
      });
      const authorize = (id: number): string =>
        opened.engine.local.authorizeSql({
          actor,
          action: "read",
          resource: { type: "Folder", id: String(id) },
          contextFacts,
          bindings,
        });
      const actions = (id: number): string =>
        opened.engine.local.actionsSql({ actor, resource: { type: "Folder", id: String(id) }, contextFacts, bindings });
      return {
        actions: [5, length].map(actions),
        list: `SELECT COUNT(*), MAX(folders.a0) FROM folders WHERE ${list}`,
        authorize: [(3 * length) / 4, length - 1, length].map(authorize),
      };
    };

    const places: [string, (index: number) => Place, number][] = [
      ["rows", () => "rows", 2000],
      ["rows, the store and the context", placeOfMixed, name === "MariaDB" && !isFull ? 400 : 2000],
      ["the store", () => "store", isFull ? 2000 : 400],
    ];

    test.each(places)("a chain in %s", async (_, placeOf, length) => {
      const database = await open();
      if (name === "MariaDB") await database.rows("SET max_recursive_iterations = 10000");
      const answers = async ({ list, authorize, actions }: Awaited<ReturnType<typeof whole>>) => {
        const rows: unknown[] = [];
        for (const sql of [list, ...authorize, ...actions]) rows.push((await database.rows(sql)).join());
        return rows;
      };
      const last = length - 1;
      const complete = await answers(await whole(database, length, placeOf));
      expect(complete).toEqual([`${last},${last}`, "1", "1", "0", "read", ""]);
      const end = (3 * length) / 4 - 1;
      const broken = await answers(await whole(database, length, placeOf, end + 1));
      expect(broken).toEqual([`${end},${end}`, "0", "0", "0", "read", ""]);
      await database.close();
    });

    if (name === "MariaDB")
      test("a recursion that the database cuts is an error", async () => {
        const database = await open();
        const complete = await whole(database, 2000, () => "rows");
        for (const sql of [complete.list, ...complete.authorize, ...complete.actions])
          await expect(database.rows(sql)).rejects.toThrow("Subquery returns more than 1 row");
        await database.close();
      });
  });
}
