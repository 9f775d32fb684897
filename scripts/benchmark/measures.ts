/** All measurements, in order. Nodes run only while they are measured, not during measurements in this process. */
import * as Bun from "bun";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { nextStorePath } from "../../src/store/directory/data-directory.ts";
import { denoProgram, projectRoot } from "../built-binary.ts";
import { measureApply } from "./applying.ts";
import { measureBodies } from "./bodies.ts";
import { measureCheck } from "./checking.ts";
import { companyOf, factsOf, repository, user, type Company } from "./company.ts";
import { timeDecisions, timeDepths, timeSizes, type Sized } from "./decisions.ts";
import { compiledAfter, manyConnections, measureHttp, pinned, type HttpOptions, type HttpRates } from "./http.ts";
import { landmarksOf } from "./landmarks.ts";
import { measureIdle } from "./environments.ts";
import { timeEdgeStarts } from "./edge-start.ts";
import { measureFairness } from "./fairness.ts";
import { measureImport } from "./importing.ts";
import { timeListings } from "./listing.ts";
import { measureLocal } from "./local.ts";
import type { Choice } from "./load-generator.ts";
import { withNodes, type Nodes } from "./nodes.ts";
import { measureBeside } from "./beside.ts";
import { measureFirstQuestions } from "./first-questions.ts";
import { measureThreadMemory, measureThreads } from "./threads.ts";
import { measureFull, measureTenEnvironments } from "./node-pairs.ts";
import { measurePeers } from "./peers/measure.ts";
import { measureLatency, measureWrites } from "./replication/measure.ts";
import { withMosquitto } from "./replication/mosquitto.ts";
import { bodyOf, grantedQuestions, question, uniformQuestions } from "./questions.ts";
import { random } from "./random.ts";
import type { Section } from "./report.ts";
import type { RuntimeTimes } from "./runtime-program.ts";
import { measureConsole } from "./console.ts";
import * as section from "./sections.ts";
import { loadThroughClient, memoryOf, patienceMs, timeStarts } from "./starting.ts";
import { applyFacts, writeFile } from "./store-file.ts";
import { timesOf } from "./timing.ts";
import { measureVisibility } from "./visibility.ts";

export interface Measures {
  readonly facts: number;
  readonly seed: number;
  readonly quick: boolean;
  readonly full: boolean;
}

interface Bench extends Measures {
  readonly binary: string;
  readonly directory: string;
  readonly policy: string;
  readonly company: Company;
  readonly show: (section: Section) => void;
}

export async function measureAll(
  binary: string,
  directory: string,
  options: Measures,
  show: (section: Section) => void,
): Promise<void> {
  const policy = readFileSync(join(import.meta.dirname, "..", "example", "policy.polar"), "utf8");
  const bench: Bench = { ...options, binary, directory, policy, company: companyOf(options.facts, options.seed), show };
  await measureEmpty(bench);
  await measureImports(bench);
  const path = measureStore(bench);
  const others = [10_000, smallSize].filter((size) => size !== options.facts);
  measureSizes(bench, [{ company: bench.company, path }, ...others.map((size) => writeSized(bench, size))]);
  await measureNodes(bench);
  const pair = { ...bench, facts: smallSize };
  show(section.fullSection(await measureFull(pair)));
  show(section.threadsSection(await measureThreads(pair), await measureThreadMemory(bench)));
  show(section.firstQuestionsSection(await measureFirstQuestions(pair)));
  show(section.besideSection(await measureBeside(pair)));
  show(section.consoleSection(await measureConsole(pair)));
  show(section.tenEnvironmentsSection(await measureTenEnvironments(pair)));
  await withNodes(binary, join(directory, "idle"), "on", async (nodes) =>
    show(section.idleSection(await measureIdle(nodes, options.quick ? 20 : 100, options.quick ? 5 : 30))),
  );
  await withNodes(binary, join(directory, "flooded"), "on", async (nodes) =>
    show(section.fairnessSection(await measureFairness(nodes, 500))),
  );
  const local = { binary, directory: join(directory, "local"), issues: options.quick ? 100_000 : 1_000_000 };
  section.localSections(await measureLocal({ ...local, quick: options.quick })).forEach(show);
  await measureReplication(bench);
  show(section.checkSection(measureCheck(binary, directory, options.quick ? 10 : 30)));
  const [questions, rounds] = options.quick ? [200, 3] : [1000, 7];
  await measureRuntimes(bench);
  show(section.peersSection(await measurePeers({ directory, seed: options.seed + 5, questions, rounds })));
  // Last, because creating it takes minutes of full load, which would distort measurements right after it.
  if (options.full) {
    const [small, large] = [writeSized(bench, smallSize), writeSized(bench, largeSize)];
    measureSizes(bench, [small, large]);
    await measureLargeEdge(bench, large);
  }
}

const [smallSize, largeSize] = [100_000, 10_000_000];

async function measureEmpty({ binary, directory, policy, seed, quick, show }: Bench): Promise<void> {
  const company = companyOf(quick ? 10_000 : 100_000, seed);
  const taken: number[] = [];
  const starts = quick ? 3 : 7;
  for (let start = 1; start <= starts; start++) {
    await withNodes(binary, join(directory, `empty-${start}`), "on", async (nodes) => {
      taken.push((await timeStarts(nodes, anyQuestion(company), 1)).p50);
      if (start < starts) return;
      const loadSeconds = await loadThroughClient(nodes, policy, factsOf(company));
      const loaded = memoryOf(nodes.primary.pid);
      show(section.emptySection({ starts: timesOf(taken), loadedFacts: company.size, loadSeconds, loaded }));
    });
  }
}

async function measureImports({ binary, directory, policy, company, show }: Bench): Promise<void> {
  await withNodes(binary, join(directory, "import"), "on", async (nodes) => {
    await timeStarts(nodes, anyQuestion(company), 1);
    const options = { binary, directory, policy, size: company.size };
    show(section.importSection(await measureImport(nodes, options, factsOf(company))));
  });
}

/** Creates the database of this company where a primary looks for it. */
function measureStore({ directory, policy, company, seed, quick, show }: Bench): string {
  const primary = join(directory, "company", "primary");
  mkdirSync(primary, { recursive: true });
  const path = nextStorePath(primary);
  show(section.applySection(measureApply(path, policy, factsOf(company))));
  const landmarks = landmarksOf(company);
  const store = openStore(path);
  applyFacts(store, landmarks.facts);
  store.close();

  const blocks = quick ? 30 : 200;
  show(section.decisionsSection(company.size, timeDecisions(path, company, seed + 2, blocks)));
  show(section.depthsSection(timeDepths(path, landmarks.depths, blocks)));
  show(section.listingsSection(timeListings(path, landmarks.listings, quick ? 10 : 40)));
  return path;
}

function measureSizes({ seed, quick, show }: Bench, files: readonly Sized[]): void {
  const sorted = files.toSorted((left, right) => left.company.size - right.company.size);
  show(section.sizesSection(timeSizes(sorted, seed + 3, quick ? 30 : 200)));
}

/** The database of a company of that size, created if it does not exist. */
function writeSized({ directory, policy, seed }: Bench, size: number): Sized {
  const sized = { company: companyOf(size, seed), path: join(directory, `company-${size}.db`) };
  if (!existsSync(sized.path)) writeFile(sized.path, policy, factsOf(sized.company));
  return sized;
}

async function measureLargeEdge({ binary, directory, show }: Bench, { company, path }: Sized): Promise<void> {
  const place = join(directory, "large");
  const primary = join(place, "primary");
  mkdirSync(primary, { recursive: true });
  renameSync(path, nextStorePath(primary));
  const [allowed] = grantedQuestions(company, 1);
  await withNodes(binary, place, "off", async (nodes) => {
    if (allowed) show(section.edgeStartSection(company.size, await timeEdgeStarts(nodes, allowed, 1)));
  });
}

async function measureNodes(bench: Bench): Promise<void> {
  const { binary, company, quick, show } = bench;
  const directory = join(bench.directory, "company");
  await withNodes(binary, directory, "off", async (nodes) => {
    const starts = await timeStarts(nodes, anyQuestion(company), 3);
    const started = memoryOf(nodes.primary.pid);
    const many = await askOverHttp(bench, nodes, "uniform", manyConnections);
    const one = await askOverHttp(bench, nodes, "uniform", 1);
    show(section.httpSection("uniform", pinned, { many, one }));
    const asked = memoryOf(nodes.primary.pid);
    show(section.bodiesSection(await measureBodies(nodes, quick ? 3 : 9)));
    show(section.startSection({ facts: company.size, starts, started, asked }));
    const [allowed] = grantedQuestions(company, 1);
    if (allowed) show(section.edgeStartSection(company.size, await timeEdgeStarts(nodes, allowed, 3)));
  });
  await withNodes(binary, directory, "on", async (nodes) => {
    await nodes.primary.start(undefined, patienceMs);
    show(section.httpSection("zipf", pinned, await askAgainOverHttp(bench, nodes)));
    await nodes.edge.start(({ ok, state }) => ok && state === "LIVE", patienceMs);
    show(section.visibilitySection(await measureVisibility(nodes, quick ? 100 : 500)));
  });
}

async function measureReplication({ directory, policy, quick, show }: Bench): Promise<void> {
  const rounds = quick ? 5 : 20;
  show(section.latencySection(await measureLatency(join(directory, "embedded"), policy, undefined, rounds)));
  await withMosquitto(join(directory, "mosquitto"), async (broker) => {
    if (broker === undefined) return;
    show(section.latencySection(await measureLatency(join(directory, "external"), policy, broker, rounds)));
  });
  const single = await measureWrites(directory, policy, 1, 2000, quick ? 2 : 5);
  const batches = await measureWrites(directory, policy, 1000, 64, quick ? 2 : 5);
  show(section.writesSection([single, batches]));
}

/** The program on Deno beside the program on Bun, in turns. */
async function measureRuntimes(bench: Bench): Promise<void> {
  const { directory, binary, seed, quick, show } = bench;
  const { company, path } = writeSized(bench, smallSize);
  const small: Bench = { ...bench, company };
  const measured = { Bun: runtimeFigures(), Deno: runtimeFigures() };
  const runner = join(import.meta.dirname, "runtime-program.ts");
  for (let round = 0; round < (quick ? 1 : 3); round++) {
    for (const runtime of ["Bun", "Deno"] as const) {
      const figures = measured[runtime];
      const own = runtime === "Bun" ? process.execPath : join(projectRoot, "scripts", "deno");
      const child = Bun.spawn([own, runner, path, String(company.size), String(seed)], {
        stdout: "pipe",
        stderr: "inherit",
      });
      const { authorizeMs, appliedPerSecond } = (await child.stdout.json()) as RuntimeTimes;
      figures.authorizeMs.push(authorizeMs);
      figures.appliedPerSecond.push(appliedPerSecond);
      const folder = join(directory, `runtime-${runtime}-${round}`);
      mkdirSync(join(folder, "primary"), { recursive: true });
      copyFileSync(path, nextStorePath(join(folder, "primary")));
      await withNodes(runtime === "Bun" ? binary : denoProgram, folder, "off", async (nodes) => {
        figures.startMs.push((await timeStarts(nodes, anyQuestion(company), 2)).p50);
        const { echo, authorize } = await askOverHttp(small, nodes, "uniform", manyConnections);
        figures.httpOverEcho.push(authorize.perSecond / echo.perSecond);
      });
      rmSync(folder, { recursive: true });
    }
  }
  show(section.runtimesSection(measured));
}

function runtimeFigures(): section.RuntimeFigures {
  return { authorizeMs: [], appliedPerSecond: [], startMs: [], httpOverEcho: [] };
}

/**
 * Zipf-distributed questions to a node right after its start and to a warm one: the first seconds show how fast the
 * decision cache fills. Each sequence of questions is different.
 */
async function askAgainOverHttp(bench: Bench, nodes: Nodes): Promise<section.HttpFigures> {
  const filling = await askOverHttp(bench, nodes, "zipf", manyConnections, { seed: bench.seed + 8 });
  const before = { warmUpRequests: bench.quick ? 100_000 : 800_000, rounds: 1, seed: bench.seed + 7 };
  await askOverHttp(bench, nodes, "zipf", manyConnections, before);
  const counted = await countRemembered(nodes);
  const many = await askOverHttp(bench, nodes, "zipf", manyConnections);
  const now = await countRemembered(nodes);
  const [hits, misses] = [now.hits - counted.hits, now.misses - counted.misses];
  return { many, filling, remembered: hits / (hits + misses) };
}

/** The hits and misses of the decision cache since the start of the node. */
async function countRemembered({ primary, adminKey }: Nodes): Promise<{ hits: number; misses: number }> {
  const response = await fetch(`${primary.url}/metrics`, { headers: { Authorization: `Bearer ${adminKey}` } });
  const text = await response.text();
  const count = (result: string): number =>
    Number(new RegExp(`^ostiary_decision_cache_total\\{result="${result}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  return { hits: count("hit"), misses: count("miss") };
}

function askOverHttp(
  { company, seed, quick }: Bench,
  { primary, adminKey }: Nodes,
  choice: Choice,
  connections: number,
  other: Partial<HttpOptions> = {},
): Promise<HttpRates> {
  const bodies = uniformQuestions(company, random(seed + 4), 100_000).map(bodyOf);
  const [rounds, secondsPerRound] = quick ? [3, 0.5] : [7, 1];
  const { port } = new URL(primary.url);
  const server = { port: Number(port), pid: primary.pid, key: adminKey };
  return measureHttp({
    ...server,
    bodies,
    choice,
    seed,
    connections,
    warmUpRequests: compiledAfter,
    rounds,
    secondsPerRound,
    ...other,
  });
}

function anyQuestion(company: Company): AuthorizeQuestion {
  return question(user(0), "read", repository(company.repositories - 1));
}
