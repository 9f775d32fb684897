/**
 * The guard of speed: the processor time of a request and of an event, beside the fastest commit so far, which
 * `baseline.json` names. Both programs run beside each other on the same machine, with default settings, and get the
 * same requests in alternated rounds. Nodes are started several times, because each process compiles its code
 * differently. Processor time depends on other load much less than rates do. Medians of the same two programs differ by
 * up to 5 % between runs, so one above the bound is decided by more starts.
 */
import { join } from "node:path";
import type { Fact } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import type { NodeProcess } from "../node-process.ts";
import { companyOf, factsOf, role, repository, User } from "./company.ts";
import { call, cpuSecondsOf } from "./environments.ts";
import { generate } from "./http.ts";
import type { LoadPlan } from "./load-generator.ts";
import { oneThread, withNodes, type Nodes } from "./nodes.ts";
import { bodyOf, uniformQuestions } from "./questions.ts";
import { random } from "./random.ts";
import { patienceMs } from "./starting.ts";
import { median } from "./timing.ts";

export interface GuardOptions {
  /** The program of the baseline, and that of this tree. */
  readonly programs: Pair<string>;
  /** For the data of the nodes. It is not removed. */
  readonly directory: string;
  readonly policy: string;
  /** Called with a line of text from time to time. */
  readonly onProgress: (line: string) => void;
}

export interface Guarded {
  readonly what: string;
  /** Medians, in microseconds of a processor. */
  readonly cost: Pair<number>;
  /** The median of the ratios of all rounds, above 1 if this tree needs more; and the ratios, in order. */
  readonly ratio: number;
  readonly ratios: readonly number[];
}

const sides = ["baseline", "present"] as const;
type Pair<T> = Readonly<Record<(typeof sides)[number], T>>;

/** A median that is more than 10 % worse fails. */
export const ratioMax = 1.1;

export const isFastEnough = ({ ratio }: Guarded): boolean => ratio <= ratioMax;

const facts = 20_000;
const connections = 8;
const starts = 3;
/** If a median of the first ones is above the bound. */
const startsMax = 9;
const roundsPerStart = 3;
const roundSecondsMax = 60;

interface Load extends Pick<LoadPlan, "path" | "choice"> {
  readonly what: string;
  /** Of a round, and of the round before the others, in which both programs compile their code. */
  readonly requests: number;
  readonly warmUpRequests: number;
  /** The bodies of a round. */
  readonly bodies: (round: number) => readonly string[];
}

const events: Load = {
  ...{
    what: "an event, on a primary and an edge",
    path: "/api/batch",
    choice: "uniform",
    requests: 500,
    warmUpRequests: 1000,
  },
  bodies: (round) => Array.from({ length: 1100 }, (_, index) => insertOf(round, index)),
};

/** One row for each kind of request. Only Linux reports the times. */
export async function measureGuard(options: GuardOptions): Promise<readonly Guarded[]> {
  const questions = uniformQuestions(companyOf(facts, 1), random(5), 100_000).map(bodyOf);
  const requests = { requests: 12_500, warmUpRequests: 25_000 };
  const authorize = { path: "/api/authorize", ...requests, bodies: () => questions } as const;
  const loads: readonly Load[] = [
    { ...authorize, what: "authorize, uniform questions", choice: "uniform" },
    { ...authorize, what: "authorize, questions of a Zipf distribution", choice: "zipf" },
    events,
  ];
  const taken = new Map<string, Pair<number>[]>(loads.map(({ what }) => [what, []]));
  for (let start = 0; start < starts || (start < startsMax && !rowsOf(taken).every(isFastEnough)); start++) {
    options.onProgress(`start ${start + 1} of ${start < starts ? starts : startsMax} of both programs`);
    await withBoth(options, start === 0, async (nodes) => {
      for (const load of loads) {
        await costsOf(load, nodes, start * 100, load.warmUpRequests);
        for (let round = 1; round <= roundsPerStart; round++)
          taken.get(load.what)?.push(await costsOf(load, nodes, start * 100 + round, load.requests));
      }
    });
  }
  return rowsOf(taken);
}

function rowsOf(taken: ReadonlyMap<string, readonly Pair<number>[]>): readonly Guarded[] {
  return [...taken].map(([what, pairs]) => {
    const ratios = pairs.map(({ baseline, present }) => present / baseline);
    const cost = {
      baseline: median(pairs.map(({ baseline }) => baseline)),
      present: median(pairs.map(({ present }) => present)),
    };
    return { what, cost, ratio: median(ratios), ratios };
  });
}

/** Runs `body` with a primary and an edge of each program. The first time, they get the company. */
async function withBoth(
  { programs, directory, policy }: GuardOptions,
  isFirst: boolean,
  body: (nodes: Pair<Nodes>) => Promise<void>,
): Promise<void> {
  const withOne = (side: keyof Pair<unknown>, use: (nodes: Nodes) => Promise<void>) =>
    withNodes(
      programs[side],
      join(directory, side),
      "on",
      async (nodes) => {
        await nodes.primary.start(undefined, patienceMs);
        if (isFirst) await fill(nodes, policy);
        await nodes.edge.start(undefined, patienceMs);
        await use(nodes);
      },
      // The baseline is from before the setting, and refuses it.
      side === "baseline" ? {} : oneThread,
    );
  await withOne("baseline", (baseline) => withOne("present", (present) => body({ baseline, present })));
}

/** Both sides take turns in being the first. */
async function costsOf(load: Load, nodes: Pair<Nodes>, round: number, requests: number): Promise<Pair<number>> {
  const costs = { baseline: 0, present: 0 };
  for (const side of round % 2 === 0 ? sides : sides.toReversed())
    costs[side] = await costOf(load, nodes[side], round, requests);
  return costs;
}

async function fill({ primary, adminKey }: Nodes, policy: string): Promise<void> {
  await call(primary, adminKey, "POST", "/api/policy", { src: policy, filename: "policy.polar" });
  const all = [...factsOf(companyOf(facts, 1))];
  for (let first = 0; first < all.length; first += 1000)
    await call(primary, adminKey, "POST", "/api/batch", [{ inserts: all.slice(first, first + 1000) }]);
}

const insertOf = (round: number, index: number): string => {
  const fact: Fact = role(User(`newcomer-${round}-${index}`), "writer", repository(index));
  return JSON.stringify([{ inserts: [fact] }]);
};

/** Microseconds of a processor per request of a round, of the node that answers; per event, of both nodes. */
async function costOf(load: Load, nodes: Nodes, round: number, requests: number): Promise<number> {
  const { path, choice, bodies } = load;
  const { primary, edge, adminKey } = nodes;
  const working = load === events ? [primary, edge] : [primary];
  const senders = [{ key: adminKey, bodies: bodies(round) }];
  const target = { name: primary.name, port: Number(new URL(primary.url).port), warmUpRequests: 0, senders };
  const before = processorUsOf(working);
  const [done] = await generate({
    ...{ targets: [target], path, choice, seed: round, connections, rounds: 1, ownCore: false },
    ...{ secondsPerRound: roundSecondsMax, requestsPerRound: requests },
  });
  if (load === events) await follow(primary, edge);
  return (processorUsOf(working) - before) / (must(done).perSecond * roundSecondsMax);
}

/** Resolves when the edge has the events of its primary. */
async function follow(primary: NodeProcess, edge: NodeProcess): Promise<void> {
  const end = await primary.health();
  await edge.ready(({ offset }) => offset !== null && offset >= (end?.offset ?? 0));
}

function processorUsOf(nodes: readonly NodeProcess[]): number {
  return nodes.reduce((sum, { pid }) => sum + must(cpuSecondsOf(pid), "needs Linux") * 1e6, 0);
}
