/**
 * Local authorization, with the issue tracker of `scripts/example/issues`: a page of its list beside a hand-written query
 * on the same database, and the SQL of a question over HTTP beside the decision about the same question.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { postgresFolder, startPostgres } from "../../test/database-servers.ts";
import { fillDatabase, type IssueDatabase, openDatabase, sizeOf } from "../example/issues/database.ts";
import { IssueTracker } from "../example/issues/issue-tracker.ts";
import { openEngine } from "./decisions.ts";
import { handwrittenList } from "./handwritten.ts";
import { measureNodes, type Served } from "./http.ts";
import { withNodes, type Nodes } from "./nodes.ts";
import { patienceMs } from "./starting.ts";
import { writeFile } from "./store-file.ts";
import { timeInTurns, type Times, timesOf, warmUpBlocks } from "./timing.ts";

export interface LocalOptions {
  readonly binary: string;
  readonly directory: string;
  readonly issues: number;
  readonly quick: boolean;
}

export interface LocalTimes {
  readonly issues: number;
  readonly lists: readonly { readonly database: string; readonly listed: Times; readonly handwritten: Times }[];
  readonly authorize: Served;
  readonly authorizeSql: Served;
  readonly listSql: Served;
  /** In process. */
  readonly generated: { readonly authorize: Times; readonly list: Times };
}

const example = join(import.meta.dirname, "..", "example", "issues");
const bindings = readFileSync(join(example, "bindings.yaml"), "utf8");
const policy = readFileSync(join(example, "policy.polar"), "utf8");

export async function measureLocal(options: LocalOptions): Promise<LocalTimes> {
  const { binary, directory, issues, quick } = options;
  let times: LocalTimes | undefined;
  await withNodes(binary, directory, "off", async (nodes) => {
    await nodes.primary.start(undefined, patienceMs);
    const oso = new Oso(nodes.primary.url, nodes.adminKey);
    await oso.policy(policy);
    await oso.insert(["is_banned", { type: "User", id: "eve" }]);
    await oso.insert(["has_role", { type: "User", id: "sue" }, "support"]);
    const served = await askForSql(nodes, quick);
    const lists: LocalTimes["lists"][number][] = [];
    const blocks = quick ? 20 : 100;
    lists.push({ database: "SQLite", ...(await timeLists(nodes, options, "sqlite", "sqlite::memory:", blocks)) });
    if (postgresFolder !== undefined) {
      const server = await startPostgres();
      try {
        lists.push({ database: "PostgreSQL", ...(await timeLists(nodes, options, "postgres", server.url, blocks)) });
      } finally {
        await server.stop();
      }
    }
    times = { issues, lists, ...served, generated: timeGeneration(options) };
  });
  if (times === undefined) throw new Error("local authorization was not measured");
  return times;
}

/** A member of an organization, one of a repository, a user with both, and one who only reads what is public. */
const users = ["ann", "bob", "user-7", "nobody"];

/** Both queries in turns, for each user. */
async function timeLists(
  { primary, adminKey }: Nodes,
  { directory, issues }: LocalOptions,
  dialect: string,
  url: string,
  blocks: number,
): Promise<{ readonly listed: Times; readonly handwritten: Times }> {
  const path = join(directory, `${dialect}.yaml`);
  writeFileSync(path, bindings.replace("dialect: sqlite", `dialect: ${dialect}`));
  const database = openDatabase(url);
  try {
    await fillDatabase(database, sizeOf(issues));
    const tracker = new IssueTracker(database, new Oso(primary.url, adminKey, { dataBindings: path }));
    const queries = await Promise.all(
      users.map(async (user) => ({
        listed: (await tracker.listQuery(user)).compile(),
        handwritten: handwrittenList(database, user),
      })),
    );
    const taken = { listed: [] as number[], handwritten: [] as number[] };
    for (let block = -warmUpBlocks(blocks); block < blocks; block++) {
      for (const query of queries) {
        const [listed, handwritten] = [await timed(database, query.listed), await timed(database, query.handwritten)];
        if (listed.rows !== handwritten.rows) throw new Error("the list and the hand-written query differ");
        if (block < 0) continue;
        taken.listed.push(listed.ms);
        taken.handwritten.push(handwritten.ms);
      }
    }
    return { listed: timesOf(taken.listed), handwritten: timesOf(taken.handwritten) };
  } finally {
    await database.destroy();
  }
}

async function timed(database: IssueDatabase, query: Parameters<IssueDatabase["executeQuery"]>[0]) {
  const begin = performance.now();
  const { rows } = await database.executeQuery(query);
  return { ms: performance.now() - begin, rows: JSON.stringify(rows) };
}

/** The same questions in process, each about another user, after the first ones of their shape. */
function timeGeneration({ directory, quick }: LocalOptions): LocalTimes["generated"] {
  const path = join(directory, "generation.db");
  const args = (...ids: readonly (readonly [string, string])[]) => ids.map(([type, id]) => ({ type, id }));
  writeFile(path, policy, [
    { predicate: "is_banned", args: args(["User", "eve"]) },
    { predicate: "has_role", args: args(["User", "sue"], ["String", "support"]) },
  ]);
  const engine = openEngine(path, "off");
  const common = { action: "read", contextFacts: [], bindings: { text: bindings }, withParameters: false };
  const actor = (index: number) => ({ type: "User", id: `user-${index}` });
  try {
    return timeInTurns(quick ? 20 : 100, {
      authorize: {
        callsPerBlock: 100,
        call: (index) =>
          void engine.authorizeLocal({
            ...common,
            actor: actor(index),
            resource: { type: "Issue", id: String(index) },
          }),
      },
      list: {
        callsPerBlock: 100,
        call: (index) =>
          void engine.listLocal({ ...common, actor: actor(index), resourceType: "Issue", column: "issues.id" }),
      },
    });
  } finally {
    engine.close();
  }
}

/** Each request is about another user and another issue; the questions have one shape. */
async function askForSql({ primary, adminKey: key }: Nodes, quick: boolean) {
  const questions = Array.from({ length: 10_000 }, (_, index) => ({
    ...{ actor_type: "User", actor_id: `user-${index}`, action: "read", context_facts: [] },
    ...{ resource_type: "Issue", resource_id: String(index) },
  }));
  const bodies = questions.map((question) => JSON.stringify(question));
  const sqlBodies = questions.map((query) => JSON.stringify({ query, data_bindings: bindings }));
  const listBodies = questions.map(({ resource_id: _id, ...query }) =>
    JSON.stringify({ query, column: "issues.id", data_bindings: bindings }),
  );
  const server = { port: Number(new URL(primary.url).port), pid: primary.pid };
  const [rounds, secondsPerRound] = quick ? [3, 0.5] : [7, 1];
  return measureNodes(
    { choice: "uniform", seed: 1, connections: 1, rounds, secondsPerRound },
    {
      authorize: { ...server, senders: [{ key, bodies }] },
      authorizeSql: { ...server, senders: [{ key, bodies: sqlBodies, path: "/api/authorize_query" }] },
      listSql: { ...server, senders: [{ key, bodies: listBodies, path: "/api/list_query" }] },
    },
  );
}
