/**
 * Nodes with two threads under constant writes: facts, policies and removed API keys change while many connections ask.
 * Each answer has to be right at a moment between question and answer, and at an edge at the position of the token or
 * later. `THREAD_STEPS` is the number of writes, `THREAD_QUESTIONS` the least number of questions.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { spreadsConnections } from "../../src/runtime/listener-threads.ts";
import { spawnWorker } from "../../src/runtime/spawn-worker.ts";
import { must } from "../../src/util/assert.ts";
import { random } from "../../scripts/benchmark/random.ts";
import { admin, type Api, apiOf, fact, Repo, User, value } from "../http/api.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { treeSeed } from "../seeds.ts";
import {
  asked,
  done,
  isWriter,
  newHistory,
  policyOf,
  readersPolicy,
  removalOf,
  repos,
  type SharedHistory,
  stepsMax,
  users,
  writersPolicy,
} from "./history.ts";
import type { Asked, QuestionerCommands } from "./questioner-worker.ts";

const questions = Number(process.env["THREAD_QUESTIONS"] ?? "1000");
const steps = Number(process.env["THREAD_STEPS"] ?? "60");
const removedKeys = 20;
const connections = 16;

test.skipIf(!spreadsConnections)(
  "each answer is right at its position, on a primary and on an edge",
  () =>
    withCluster(
      async (cluster) => {
        const running = await cluster.primary();
        const primary = apiOf(running);
        const edge = await cluster.edge("edge", running);
        await post(primary, "/api/policy", { src: policyOf(readersPolicy), filename: "policy.polar" });
        await post(primary, "/api/batch", [{ inserts: writers() }]);
        const made = await Promise.all(Array.from({ length: removedKeys }, () => makeKey(primary)));
        const offset = await post(primary, "/api/batch", [{ inserts: [roleOf(0, "other", 0)] }]);
        const epoch = must(offset.split(":")[0]);
        await eventually(() => expect(edge.node.state()?.offset).toBe(Number(offset.split(":")[1])));
        const history = newHistory();
        const keys = [admin.authorization.slice("Bearer ".length), ...made.map(({ token }) => token)];
        const ask = (port: number, token: string | undefined, seed: number) =>
          questioner({ port, history, epoch: token, keys, connections, seed });
        const portOf = ({ url }: { readonly url: string }): number => Number(new URL(url).port);
        // Before its first step a token would be empty.
        await write(primary, history, made);
        const asking = Promise.all([ask(portOf(running), undefined, treeSeed), ask(portOf(edge), epoch, treeSeed + 1)]);
        let isOver = false;
        void asking.finally(() => (isOver = true)).catch(() => {});
        while (!isOver && (done(history) < steps || asked(history) < questions)) {
          // As many facts are changed as the history has room for.
          if (done(history) < stepsMax) await write(primary, history, made);
          else await Bun.sleep(100);
        }
        Atomics.store(history.counters, 2, 1);
        for (const { wrong, refused } of await asking) {
          expect(wrong).toEqual([]);
          expect(refused).toBeGreaterThan(0);
        }
        console.log(`${asked(history)} questions beside ${done(history)} writes`);
      },
      { threads: "2" },
    ),
  24 * 3600 * 1000,
);

function questioner(plan: Parameters<QuestionerCommands["ask"]>[0]): Promise<Asked> {
  const worker = spawnWorker<QuestionerCommands>({ name: "questioner", entry: "../test/threads/questioner-worker.ts" });
  return worker.call("ask", plan).finally(() => worker.terminate(new Error("all questions were asked")));
}

const roleOf = (user: number, role: string, repo: number) =>
  fact("has_role", User(`u${user}`), value("String", role), Repo(`r${repo}`));

function writers() {
  const pairs = Array.from({ length: users * repos }, (_, pair) => [Math.floor(pair / repos), pair % repos] as const);
  return pairs.filter(([user, repo]) => isWriter(user, repo)).map(([user, repo]) => roleOf(user, "writer", repo));
}

async function makeKey(api: Api) {
  const { json } = await api.call("POST", "/api/keys", { body: { name: "reader", role: "read" } });
  return json as { readonly id: string; readonly token: string };
}

/** Returns the consistency token. */
async function post(api: Api, path: string, body: unknown): Promise<string> {
  const { status, headers, text } = await api.call("POST", path, { body });
  expect([status, text]).toEqual([200, expect.any(String)]);
  return must(headers.get("osooffset"));
}

const draw = random(treeSeed);
const present = new Set<number>();
let policy = readersPolicy;
let nextKey = 0;

async function write(api: Api, history: SharedHistory, keys: readonly { readonly id: string }[]) {
  const index = Atomics.load(history.counters, 0);
  const chance = draw();
  const begin = (code: number): void => {
    history.codes[index] = code;
    Atomics.store(history.counters, 0, index + 1);
  };
  // The first step removes a key, so that there are always questions with a removed one.
  let token: string;
  if (index > 0 && chance < 0.04) {
    policy = policy === readersPolicy ? writersPolicy : readersPolicy;
    begin(policy);
    token = await post(api, "/api/policy", { src: policyOf(policy), filename: "policy.polar" });
  } else if (index === 0 || (chance < 0.14 && nextKey < keys.length)) {
    const key = nextKey++;
    begin(removalOf(key + 1));
    const { headers } = await api.call("DELETE", `/api/keys/${must(keys[key]).id}`);
    token = must(headers.get("osooffset"));
  } else {
    const pair = Math.floor(draw() * users * repos);
    const isInsert = !present.delete(pair);
    if (isInsert) present.add(pair);
    begin(pair * 2 + (isInsert ? 1 : 0));
    const changed = [roleOf(Math.floor(pair / repos), "reader", pair % repos)];
    token = await post(api, "/api/batch", [isInsert ? { inserts: changed } : { deletes: changed }]);
  }
  history.offsets[index] = Number(must(token.split(":")[1]));
  Atomics.store(history.counters, 1, index + 1);
}
