/**
 * How long `POST /api/authorize` takes beside other work of the same node: long lists, explanations, backups, snapshots
 * and new policies. The work is requested by another process, as fast as the node does it.
 */
import * as Bun from "bun";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Fact } from "../../src/store/facts/fact.ts";
import { nextStorePath } from "../../src/store/directory/data-directory.ts";
import { companyOf, factsOf, Folder, related, Repository, role, User, type Company } from "./company.ts";
import type { WorkPlan } from "./work.ts";
import { bodiesOf, type PairOptions } from "./node-pairs.ts";
import { oneThread, withNodes, type Nodes } from "./nodes.ts";
import { patienceMs } from "./starting.ts";
import { writeFile } from "./store-file.ts";
import { timesOf } from "./timing.ts";

export interface Beside {
  readonly work: string;
  /** The name of its ratio. */
  readonly key: string;
  /** How often it was done. */
  readonly done: number;
  /** Milliseconds. */
  readonly p99Alone: number;
  readonly p99Beside: number;
  readonly longestAlone: number;
  readonly longestBeside: number;
}

const listed = 100_000;
const policyLines = 5000;
const [wideFolder, wideUser] = [Folder("wide"), User("wide")];

export async function measureBeside(options: PairOptions): Promise<Beside[]> {
  const { binary, directory, policy, facts, seed, quick } = options;
  const company = companyOf(facts, seed);
  const place = join(directory, "beside");
  mkdirSync(join(place, "primary"), { recursive: true });
  writeFile(nextStorePath(join(place, "primary")), policy, factsAndList(company));
  const bodies = bodiesOf(company, seed, 20_000);
  const results: Beside[] = [];
  await withNodes(
    binary,
    place,
    "off",
    async (nodes) => {
      await nodes.primary.start(undefined, patienceMs);
      const [rounds, seconds] = quick ? [3, 2] : [5, 5];
      let asked = 0;
      const ask = (): Promise<number[]> => timeQuestions(nodes, () => bodies[asked++ % bodies.length] ?? "", seconds);
      await ask();
      for (const { work, key, requests } of worksOf(nodes, policy)) {
        const [alone, beside]: [number[], number[]] = [[], []];
        let done = 0;
        for (let round = 0; round < rounds; round++) {
          alone.push(...(await ask()));
          done += await during({ url: nodes.primary.url, key: nodes.adminKey, requests }, async () => {
            beside.push(...(await ask()));
          });
          // The node ends what it has begun.
          await Bun.sleep(settleMs);
        }
        const [times, others] = [timesOf(alone), timesOf(beside)];
        results.push({
          ...{ work, key, done },
          ...{ p99Alone: times.p99, p99Beside: others.p99 },
          ...{ longestAlone: Math.max(...alone), longestBeside: Math.max(...beside) },
        });
      }
    },
    oneThread,
  );
  return results;
}

function* factsAndList(company: Company): Generator<Fact> {
  yield* factsOf(company);
  yield role(wideUser, "reader", wideFolder);
  for (let index = 0; index < listed; index++) yield related(Repository(`wide-${index}`), "folder", wideFolder);
}

interface Work extends Pick<Beside, "work" | "key">, Pick<WorkPlan, "requests"> {}

/** The requests of each kind of work. They are sent one after the other, again and again. */
function worksOf({ nodeKey }: Nodes, policy: string): readonly Work[] {
  const actor = { actor_type: "User", actor_id: wideUser.id, action: "read", context_facts: [] };
  const question = { ...actor, resource_type: "Repository", resource_id: `wide-${listed - 1}` };
  const fact = { predicate: "is_public", args: [{ type: "Repository", id: "new#" }] };
  const post = (path: string, body: object) => ({ method: "POST", path, body: JSON.stringify(body) });
  return [
    {
      work: "a list of 100,000 ids",
      key: "list",
      requests: [post("/api/list", { ...actor, resource_type: "Repository" })],
    },
    { work: "an explanation", key: "explanation", requests: [post("/api/explain", question)] },
    { work: "a backup", key: "backup", requests: [{ method: "GET", path: "/api/backup" }] },
    {
      work: "a snapshot after a write",
      key: "snapshot",
      requests: [
        post("/api/batch", [{ inserts: [fact] }]),
        { method: "GET", path: "/replication/v1/snapshot", key: nodeKey },
      ],
    },
    {
      work: "a new policy of 5,000 lines",
      key: "policy",
      requests: [post("/api/policy", { src: longPolicy(policy) })],
    },
  ];
}

/** With a number in it that differs for each upload. */
function longPolicy(policy: string): string {
  const lines = [policy, "# upload #"];
  let count = lines.join("\n").split("\n").length;
  for (let index = 0; count < policyLines; index++) {
    const block = `resource Kind${index} {
  roles = ["reader", "writer"];
  permissions = ["read", "write"];
  relations = { folder: Folder };
  "reader" if "writer";
  "reader" if "reader" on "folder";
  "read" if "reader";
  "write" if "writer";
}`;
    lines.push(block);
    count += block.split("\n").length;
  }
  return lines.join("\n");
}

async function during(plan: WorkPlan, body: () => Promise<void>): Promise<number> {
  const work = Bun.spawn(["nice", "-n", "19", process.execPath, join(import.meta.dirname, "work.ts")], {
    stdin: new Blob([JSON.stringify(plan)]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const kill = (): void => work.kill();
  process.once("exit", kill);
  try {
    const reader = work.stdout.getReader();
    await reader.read();
    await body();
    kill();
    let done = 0;
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) done += piece.value.length;
    return done;
  } finally {
    kill();
    await work.exited;
    process.removeListener("exit", kill);
  }
}

const settleMs = 3000;
const pauseMs = 1;

/** One question after the other, with a pause, so that the processors are not busy with questions alone. */
async function timeQuestions({ primary, adminKey }: Nodes, next: () => string, seconds: number): Promise<number[]> {
  const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
  const taken: number[] = [];
  const endMs = performance.now() + seconds * 1000;
  for (let beginMs = performance.now(); beginMs < endMs; beginMs = performance.now()) {
    const answer = await fetch(`${primary.url}/api/authorize`, { method: "POST", headers, body: next() });
    if (!answer.ok) throw new Error(`a question was answered with ${answer.status}: ${await answer.text()}`);
    await answer.arrayBuffer();
    taken.push(performance.now() - beginMs);
    await Bun.sleep(pauseMs);
  }
  return taken;
}
