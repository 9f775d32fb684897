/** `ostiary reconcile` with CSV files and a development node: what it compares, prints, changes and refuses. */
import * as Bun from "bun";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { factKey, factOf, factOfKey } from "../../src/cli/reconcile/row-facts.ts";
import { columnsOf, parseSignature } from "../../src/local/signature.ts";
import { must } from "../../src/util/assert.ts";
import { fact, value } from "../http/api.ts";
import { startDevNode, type DevNode } from "./dev-node.ts";
import { workspace } from "./workspace.ts";

const { write, path, run } = workspace();
let node: DevNode;

const policy = `actor User {}
resource Team { roles = ["member", "lead"]; permissions = ["read"]; "read" if "member" or "lead"; }
declare level(Team, Integer);
declare open(Team, Boolean);
`;
const config = `version: 1
source: csv
facts:
  has_role(User:_, String:_, Team:_):
    file: roles.csv
    columns: [user, role, team]
  open(Team:_, Boolean:_):
    file: open.csv
`;

beforeAll(async () => {
  write("policy.polar", policy);
  node = await startDevNode([path("policy.polar")]);
}, 60_000);
afterAll(() => node.stop());

const ostiary = (...words: string[]) => run(words, "", node.access);

async function call(route: string, body: object): Promise<void> {
  const headers = { Authorization: `Bearer ${node.access.OSO_AUTH}` };
  const response = await fetch(node.url + route, { method: "POST", headers, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
}

const factsBefore = [
  fact("has_role", value("User", "ann"), value("String", "lead"), value("Team", "red")),
  fact("has_role", value("User", "eve"), value("String", "member"), value("Team", "blue")),
  fact("open", value("Team", "blue"), value("Boolean", "true")),
  fact("level", value("Team", "red"), value("Integer", "1")),
];

async function stored(): Promise<string[]> {
  return (await ostiary("get")).output
    .split("\n")
    .filter((line) => line !== "")
    .toSorted();
}

beforeEach(async () => {
  await call("/api/clear_data", {});
  write("reconcile.yaml", config);
  write("roles.csv", "team,id,user,role\nred,1,ann,lead\nred,2,bob,member\nred,3,bob,member\n");
  write("open.csv", "team,open\nred,t\nblue,0\n");
  await call("/api/batch", [{ inserts: factsBefore }]);
});

const changes = `- has_role(User:eve, String:member, Team:blue)
- open(Team:blue, Boolean:true)
+ has_role(User:bob, String:member, Team:red)
+ open(Team:red, Boolean:true)
+ open(Team:blue, Boolean:false)
`;
const table = `source  same  insert  delete  facts
     2     1       1       1  has_role(User:_, String:_, Team:_)
     2     0       2       1  open(Team:_, Boolean:_)
`;

describe("ostiary reconcile", () => {
  test("prints the changes, and makes them only with --perform-updates", async () => {
    const before = await stored();
    expect(await ostiary("reconcile", "reconcile.yaml")).toEqual({
      status: 0,
      output: `${changes}${table}nothing was changed: --perform-updates makes these changes\n`,
      errors: "",
    });
    expect(await stored()).toEqual(before);
    const done = await ostiary("reconcile", "reconcile.yaml", "--perform-updates", "--summarized-output");
    expect(done).toEqual({ status: 0, output: `${table}the changes were made\n`, errors: "" });
    expect(await stored()).toEqual([
      "has_role(User:ann, String:lead, Team:red)",
      "has_role(User:bob, String:member, Team:red)",
      "level(Team:red, Integer:1)",
      "open(Team:blue, Boolean:false)",
      "open(Team:red, Boolean:true)",
    ]);
    const again = await ostiary("reconcile", "reconcile.yaml", "--json");
    expect(JSON.parse(again.output)).toEqual({
      performed: false,
      facts: [
        { signature: "has_role(User:_, String:_, Team:_)", source: 2, same: 2, insert: 0, delete: 0 },
        { signature: "open(Team:_, Boolean:_)", source: 2, same: 2, insert: 0, delete: 0 },
      ],
      deletes: [],
      inserts: [],
      revoked: [],
      left_alone: 0,
      revoked_again: 0,
    });
  }, 60_000);

  test.each([
    // The node is read for two signatures in each comparison; the next request but one to it is a batch of insertions.
    ["between the comparisons", 3, "1 facts changed while the command ran, and were left alone\n", 1],
    ["after the comparisons", 6, "1 inserted facts were deleted again, because they disappeared from the source", 2],
  ])(
    "a role that is revoked %s does not come back",
    async (_, request, said, inserted) => {
      let requests = 0;
      const bodies: string[] = [];
      const proxy = Bun.serve({
        port: 0,
        async fetch(received) {
          const { pathname, search } = new URL(received.url);
          const body = await received.text();
          requests += 1;
          if (body !== "") bodies.push(body);
          if (requests === request) write("roles.csv", "team,id,user,role\nred,1,ann,lead\n");
          const { method, headers } = received;
          return fetch(node.url + pathname + search, { method, headers, ...(body !== "" && { body }) });
        },
      });
      const access = { ...node.access, OSO_URL: `http://127.0.0.1:${proxy.port}` };
      const { status, output } = await run(["reconcile", "reconcile.yaml", "--perform-updates"], "", access);
      await proxy.stop(true);
      expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining(said) });
      expect(output).toEndWith("run the command again to see the differences that remain\n");
      // What was written besides the deletions that the sources have always shown.
      expect(bodies.filter((body) => body.includes('"inserts"')).length).toBe(1);
      expect(bodies.some((body) => body.includes('"inserts"') && body.includes('"bob"'))).toBe(inserted === 2);
      expect((await stored()).filter((fact) => fact.startsWith("has_role"))).toEqual([
        "has_role(User:ann, String:lead, Team:red)",
      ]);
    },
    60_000,
  );

  test("does not delete everything because a source is empty, unless it is told to", async () => {
    write("roles.csv", "team,id,user,role\n");
    const before = await stored();
    const refused = await ostiary("reconcile", "reconcile.yaml", "--perform-updates");
    expect(refused.status).toBe(1);
    expect(refused.errors).toContain(
      "the source of `has_role(User:_, String:_, Team:_)` is empty, and the node has 2 facts of it",
    );
    expect(await stored()).toEqual(before);
    expect((await ostiary("reconcile", "reconcile.yaml", "--perform-updates", "--allow-empty")).status).toBe(0);
    expect((await stored()).filter((fact) => fact.startsWith("has_role"))).toEqual([]);
  }, 60_000);

  test("does not delete the facts of an empty source that match another signature, too", async () => {
    write(
      "reconcile.yaml",
      `version: 1
source: csv
facts:
  has_role(User:_, String:_, Team:_): { file: roles.csv, columns: [user, role, team] }
  has_role(User:_, member, Team:_): { file: members.csv }
`,
    );
    write("roles.csv", "team,id,user,role\nred,1,ann,lead\n");
    write("members.csv", "user,team\n");
    const refused = await ostiary("reconcile", "reconcile.yaml", "--perform-updates");
    expect(refused).toMatchObject({
      status: 1,
      errors: expect.stringContaining(
        "the source of `has_role(User:_, member, Team:_)` is empty, and the node has 1 facts of it",
      ),
    });
  }, 60_000);

  test("keeps what another signature gives", async () => {
    write(
      "reconcile.yaml",
      `version: 1
source: csv
facts:
  has_role(User:_, lead, Team:_): { file: leads.csv }
  has_role(User:_, String:_, Team:_): { file: roles.csv, columns: [user, role, team] }
`,
    );
    write("leads.csv", "user,team\neve,red\n");
    const { output } = await ostiary("reconcile", "reconcile.yaml", "--perform-updates");
    expect(output).toStartWith(`- has_role(User:eve, String:member, Team:blue)
+ has_role(User:eve, String:lead, Team:red)
+ has_role(User:bob, String:member, Team:red)
`);
  }, 60_000);

  test.each([
    ["", "it must have `version: 1` and `facts`"],
    ["version: 2\nfacts: {}\n", "`version`: must be 1"],
    ["version: 1\nfacts: {}\nsorce: csv\n", "it must not have `sorce`: did you mean `source`?"],
    [
      "version: 1\nfacts: {'p(A:_)': {qurey: SELECT 1}}\n",
      "`facts.p(A:_)` must not have `qurey`: did you mean `query`?",
    ],
    ["version: 1\nsource: mongodb\nfacts: {}\n", "`source`: must be postgres, mysql or csv"],
    ["version: 1\nsource: csv\nfacts: {}\n", "`facts` is empty"],
    ["version: 1\nsource: csv\nfacts: {open: {file: a}}\n", "`facts.open` is not a signature"],
    [
      'version: 1\nsource: csv\nfacts: {"locked(Doc:_, Boolean:yes)": {file: a}}\n',
      "argument 2 is no Boolean: write `Boolean:true` or `Boolean:false`",
    ],
    ['version: 1\nsource: csv\nfacts: {"size(Doc:_, Integer:05)": {file: a}}\n', "argument 2 is no Integer"],
    ['version: 1\nsource: csv\nfacts: {"reader(Doc:_, User:*)": {file: a}}\n', "has the id `*`, which no fact has"],
    ["version: 1\nsource: csv\nfacts: {'open(Team:red)': {file: a}}\n", "`facts.open(Team:red)` has no `_`"],
    ["version: 1\nsource: csv\nfacts: {'open(Team:_)': {query: a}}\n", "`facts.open(Team:_).file` is missing"],
    ["version: 1\nfacts: {'open(Team:_)': {query: a}}\n", "`facts.open(Team:_).db` is missing"],
    [
      "version: 1\nfacts: {'open(Team:_)': {query: a, db: x}}\ndbs: {y: {connection_string: z}}\n",
      "`dbs.x` is missing",
    ],
    [
      "version: 1\nfacts: {'open(Team:_)': {query: a}}\ndbs: {y: {connection_string: $NO_SUCH}}\n",
      "names NO_SUCH, which is not set",
    ],
    [
      "version: 1\nsource: csv\nfacts: {'open(Team:_)': {file: open.csv}}\n",
      "`facts.open(Team:_)`: it has 2 columns, and the signature has 1 `_`",
    ],
    [
      "version: 1\nsource: csv\nfacts: {'open(Team:_)': {file: open.csv, columns: [no]}}\n",
      "there is no column `no` in the first line",
    ],
    ["version: 1\nsource: csv\nfacts: {'open(Team:_)': {file: none.csv}}\n", "`facts.open(Team:_)`: "],
    [
      "version: 1\nsource: csv\nfacts: {'level(Team:_, Integer:_)': {file: open.csv}}\n",
      "`facts.level(Team:_, Integer:_)`, row 1: column 2 is `t`, which is no Integer",
    ],
    ["version: 1\n  facts: {}\n", "line 1: "],
    [
      "version: 1\nfacts: {'open(Team:_)': {query: SELECT 1}}\ndbs: {y: {connection_string: 'postgres://u:secret@127.0.0.1:1/db'}}\n",
      "`dbs.y` (postgres): ",
    ],
  ])(
    "refuses a file that is wrong, and changes nothing: %#",
    async (text, message) => {
      write("wrong.yaml", text);
      const before = await stored();
      const { status, output, errors } = await ostiary("reconcile", "wrong.yaml", "--perform-updates");
      expect(errors).toContain(message);
      expect(errors).not.toContain("secret");
      expect({ status, output }).toEqual({ status: 1, output: "" });
      expect(await stored()).toEqual(before);
    },
    60_000,
  );
});

describe("a signature", () => {
  test("says what each argument is", () => {
    const signature = must(parseSignature('has_role(User:_, member, Team:"a, b", _)'));
    expect(signature.args).toEqual([
      { type: "User", id: null },
      { type: "String", id: "member" },
      { type: "Team", id: "a, b" },
      { type: "String", id: null },
    ]);
    expect(columnsOf(signature)).toBe(2);
    const fact = must(factOf(signature, ["ann", "x"]));
    if (typeof fact === "string") throw new Error(fact);
    expect(factOfKey(factKey(fact))).toEqual(fact);
  });

  test.each(["", "p", "p(", "p()", "p(_", "p(_) x", "1(_)", "p(User:)", "p(a b)", 'p("\\x", _)'])(
    "%j is none",
    (text) => {
      expect(parseSignature(text)).toBeUndefined();
    },
  );

  test("values have the form of the API", () => {
    const signature = must(parseSignature("p(Integer:_, Boolean:_)"));
    const ids = (row: (string | null)[]) => {
      const fact = factOf(signature, row);
      return typeof fact === "string" ? fact : fact.args.map(({ id }) => id);
    };
    expect(ids(["+007", "TRUE"])).toEqual(["7", "true"]);
    expect(ids(["-0", "f"])).toEqual(["0", "false"]);
    expect(ids(["1.5", "f"])).toBe("1 is `1.5`, which is no Integer");
    expect(ids(["1", null])).toBe("2 is NULL: leave such rows out of the query");
    expect(factOf(must(parseSignature("p(User:_)")), ["*"])).toBe("1 is `*`, which is no id");
  });
});
