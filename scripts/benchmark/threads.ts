/**
 * `POST /api/authorize` of a node with two threads, beside one with one, on the same cores as the load generator: `wrk` if
 * it is installed, because the own generator needs as much time as a node.
 */
import * as Bun from "bun";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/util/assert.ts";
import { companyOf } from "./company.ts";
import { cpuSecondsOf } from "./environments.ts";
import { compiledAfter, generate } from "./http.ts";
import { bodiesOf, type PairOptions, placeOf } from "./node-pairs.ts";
import { withNodes, type Nodes } from "./nodes.ts";
import { patienceMs } from "./starting.ts";
import { median } from "./timing.ts";

export interface ThreadRates {
  readonly generator: string;
  /** Answers per second. */
  readonly one: number;
  readonly two: number;
  /** The answers with two threads, divided by those with one just before: the median of all rounds. */
  readonly twoOverOne: number;
  /** The processor time of an answer with two threads, divided by that with one. Undefined if the system does not say it. */
  readonly cost: number | undefined;
}

interface Load {
  readonly perSecond: number;
  readonly answers: number;
}

const threadsOf = (threads: number): Readonly<Record<string, string>> => ({ OSTIARY_THREADS: String(threads) });
const bodiesMax = 20_000;
/** So many that the system spreads them evenly enough over two threads. */
const connections = 64;

export async function measureThreads(options: PairOptions): Promise<ThreadRates> {
  const { binary, seed, facts, quick } = options;
  const company = companyOf(facts, seed);
  const places = [placeOf(options, "one-thread", company), placeOf(options, "two-threads", company)] as const;
  const bodies = bodiesOf(company, seed, bodiesMax);
  const [rounds, seconds] = quick ? [3, 1] : [9, 3];
  const isInstalled = Bun.which("wrk") !== null;
  let rates: ThreadRates | undefined;
  const measure = async (one: Nodes, two: Nodes): Promise<void> => {
    const taken = { one: [] as Taken[], two: [] as Taken[] };
    const nodes = { one, two };
    for (const { primary } of [one, two]) await primary.start(undefined, patienceMs);
    const load = async ({ primary, adminKey }: Nodes, duration: number): Promise<Load> =>
      isInstalled
        ? await runWrk(join(options.directory, "load.lua"), primary.url, adminKey, bodies, duration)
        : await runGenerator(Number(new URL(primary.url).port), adminKey, bodies, duration, seed);
    for (const node of [one, two]) await load(node, quick ? 3 : 10);
    for (let round = 0; round < rounds; round++)
      for (const name of ["one", "two"] as const)
        taken[name].push(await timed(nodes[name], () => load(nodes[name], seconds)));
    const costs = taken.one.map(({ cost }, round) => must(taken.two[round]).cost / cost);
    rates = {
      generator: isInstalled ? "wrk" : "the own generator",
      one: median(taken.one.map(({ perSecond }) => perSecond)),
      two: median(taken.two.map(({ perSecond }) => perSecond)),
      twoOverOne: median(taken.one.map(({ perSecond }, round) => must(taken.two[round]).perSecond / perSecond)),
      cost: costs.some(Number.isNaN) ? undefined : median(costs),
    };
  };
  const withOne = (place: string, threads: number, body: (nodes: Nodes) => Promise<void>): Promise<void> =>
    withNodes(binary, place, "on", body, threadsOf(threads));
  await withOne(places[0], 1, (one) => withOne(places[1], 2, (two) => measure(one, two)));
  return must(rates);
}

export interface ThreadMemory {
  readonly facts: number;
  /** Bytes of memory after the questions, with one thread and with four. */
  readonly one: number;
  readonly four: number;
}

/** The memory of a node after many different questions. Undefined if the system does not report it. */
export async function measureThreadMemory(options: PairOptions): Promise<ThreadMemory | undefined> {
  const { binary, seed, facts } = options;
  const company = companyOf(facts, seed);
  const place = placeOf(options, "thread-memory", company);
  const bodies = bodiesOf(company, seed, bodiesMax);
  const used: (number | undefined)[] = [];
  for (const threads of [1, 4]) {
    const measure = async ({ primary, adminKey }: Nodes): Promise<void> => {
      await primary.start(undefined, patienceMs);
      await runGenerator(Number(new URL(primary.url).port), adminKey, bodies, memorySeconds, seed);
      used.push(physicalBytesOf(primary.pid));
    };
    await withNodes(binary, place, "on", measure, threadsOf(threads));
  }
  const [one, four] = used;
  return one === undefined || four === undefined ? undefined : { facts, one, four };
}

const memorySeconds = 10;

/** A page that several connections have mapped counts once. Undefined if the system does not report it. */
function physicalBytesOf(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

interface Taken {
  readonly perSecond: number;
  /** Seconds of a processor for one answer. */
  readonly cost: number;
}

async function timed({ primary: { pid } }: Nodes, load: () => Promise<Load>): Promise<Taken> {
  const before = cpuSecondsOf(pid) ?? Number.NaN;
  const { perSecond, answers } = await load();
  return { perSecond, cost: ((cpuSecondsOf(pid) ?? Number.NaN) - before) / answers };
}

async function runWrk(
  script: string,
  url: string,
  key: string,
  bodies: readonly string[],
  seconds: number,
): Promise<Load> {
  const list = bodies.map((body) => `[[${body}]]`).join(",\n");
  writeFileSync(
    script,
    `local requests = {\n${list}\n}
local sent = 0
init = function()
  wrk.headers["Authorization"] = "Bearer ${key}"
  for i = 1, #requests do requests[i] = wrk.format("POST", "/api/authorize", nil, requests[i]) end
end
request = function()
  sent = sent + 1
  return requests[sent % #requests + 1]
end`,
  );
  const wrk = Bun.spawn(["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, url], { stdout: "pipe" });
  const output = await wrk.stdout.text();
  if ((await wrk.exited) !== 0 || output.includes("Non-2xx")) throw new Error(`wrk failed: ${output}`);
  const numberIn = (pattern: RegExp): number => Number(must(pattern.exec(output)?.[1]));
  return { perSecond: numberIn(/Requests\/sec:\s+([\d.]+)/), answers: numberIn(/(\d+) requests in/) };
}

async function runGenerator(
  port: number,
  key: string,
  bodies: readonly string[],
  seconds: number,
  seed: number,
): Promise<Load> {
  const target = { name: "node", port, warmUpRequests: compiledAfter / 20, senders: [{ key, bodies }] };
  const plan = { choice: "uniform", seed, connections, rounds: 1, secondsPerRound: seconds } as const;
  const [round] = await generate({ ...plan, targets: [target], path: "/api/authorize", ownCore: false });
  const { perSecond } = must(round);
  return { perSecond, answers: perSecond * seconds };
}
