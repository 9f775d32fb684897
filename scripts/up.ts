/**
 * The demo: starts a primary with its embedded broker, two edges and a fallback on this machine, loads the example
 * company through the official client, sends a dozen queries to an edge, draws the traces of the write and of one
 * decision across the nodes, and keeps everything running until Ctrl-C.
 */
import * as Bun from "bun";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Oso } from "oso-cloud";
import { builtBinary, denoProgram, isBuilt } from "./built-binary.ts";
import { paint, printFailure } from "../src/cli/color.ts";
import { describeAppliance, type Appliance } from "./example/appliance.ts";
import { facts } from "./example/facts.ts";
import { questions, type Answer } from "./example/questions.ts";
import { watchNodes } from "./example/watch-nodes.ts";
import { whatNext } from "./example/what-next.ts";
import { randomHex, type Health, type NodeProcess } from "./node-process.ts";
import { startCollector, type Collector, type Span } from "./otlp-collector.ts";
import { drawTrace } from "./trace-tree.ts";

const usage = `scripts/up [--exit] [--json] [--data DIR] [--broker URL] [--runtime NAME]

  --exit          end after the questions: status 0 if every answer was right, 1 otherwise
  --json          print one JSON object instead of a report (progress goes to standard error)
  --data DIR      keep data and keys there and use them again the next time; otherwise they are thrown away
  --broker URL    use your own broker, such as mqtt://127.0.0.1:1883, instead of the one inside the primary
  --runtime NAME  run the nodes on bun (the built program, the default) or deno (from source)`;

const flags = parseFlags();

function parseFlags() {
  try {
    const { values } = parseArgs({
      options: {
        exit: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        data: { type: "string" },
        broker: { type: "string" },
        runtime: { type: "string", default: "bun" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (!["bun", "deno"].includes(values.runtime))
      throw new Error(`--runtime must be bun or deno, not \`${values.runtime}\``);
    return values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}\n`);
    process.exit(2);
  }
}

/** Prints for people; with --json, standard output has only the JSON. */
const say = (text: string): void => void (flags.json ? process.stderr : process.stdout).write(`${text}\n`);

interface Asked {
  readonly question: string;
  readonly why: string;
  readonly answer: Answer;
  readonly expected: Answer;
  readonly right: boolean;
  /** The first call plans the query, the second one uses the cache. */
  readonly firstMs: number;
  readonly againMs: number;
}

async function main(): Promise<number> {
  const collector = startCollector();
  say("Starts a primary, two edges and a fallback on this machine, loads an example and asks an edge about it.\n");
  const binary = await step("binary", programOf);
  const appliance = await describeAppliance({
    binary,
    directory: flags.data,
    broker: flags.broker,
    collectorUrl: collector.url,
  });
  const stopAsked = onStop();
  process.once("exit", () => appliance.kill());
  try {
    await Promise.race([startNodes(appliance), stopAsked.then(() => Promise.reject(new Error("asked to stop")))]);
    const write = await loadExample(appliance, collector);
    // Without a policy it would not answer, and its next snapshot would come some seconds later.
    await startNode(appliance.fallback);
    const asked = await askAll(appliance);
    const read = await traceOneDecision(appliance, collector);
    const allRight = asked.every(({ right }) => right);
    const following = await followingOf(appliance);
    if (flags.json)
      process.stdout.write(`${JSON.stringify(report(appliance, asked, write, read, allRight, following))}\n`);
    else print(appliance, asked, write, read);
    if (!flags.exit) {
      const watch = watchNodes(appliance.nodes, say);
      say(whatNext(appliance));
      await stopAsked;
      watch.stop();
    }
    return flags.exit && !allRight ? 1 : 0;
  } catch (error) {
    for (const { name, output } of appliance.nodes) say(`\n--- the last output of ${name}\n${output.slice(-2000)}`);
    throw error;
  } finally {
    say("\nstopping …");
    await appliance.stop();
    // A node that was killed because it did not stop in time leaves the write-ahead log of its database.
    for (const { name, ending } of appliance.nodes)
      if (ending !== undefined && ending !== "status 0") say(`${name} did not stop cleanly: ${ending}`);
    await collector.stop();
  }
}

async function programOf(): Promise<readonly [string, string]> {
  if (flags.runtime === "deno") return [denoProgram, "scripts/ostiary-deno runs the program from source"];
  if (!isBuilt()) say("building dist/ostiary, which takes half a minute");
  return [await builtBinary(), "dist/ostiary is built"];
}

/** Shows the result of a step and its duration. */
async function step<T>(name: string, work: () => Promise<readonly [T, string]>): Promise<T> {
  const startMs = performance.now();
  const [result, outcome] = await work();
  say(`${name.padEnd(9)} ${outcome} (${(performance.now() - startMs).toFixed(0)} ms)`);
  return result;
}

async function startNodes({ primary, edges }: Appliance): Promise<void> {
  await startNode(primary);
  await Promise.all(edges.map(startEdge));
}

const startNode = (node: NodeProcess): Promise<void> =>
  step(node.name, async () => {
    await node.start();
    // It plans its first questions, which would take the processors from the nodes that are asked.
    while (!(await fetch(`${node.url}/readyz`)).ok) await Bun.sleep(20);
    return [undefined, `ready at ${node.url}`];
  });

const brokerWaitMs = 5000;

/**
 * An edge could answer earlier, but the demo waits until it gets events over MQTT. Without a broker it shows the
 * alternative.
 */
async function startEdge(edge: NodeProcess): Promise<void> {
  await step(edge.name, async () => {
    edge.launch();
    await edge.ready(isLive, brokerWaitMs).catch(() => edge.ready());
    return [undefined, `ready at ${edge.url}: ${(await edge.health())?.following}`];
  });
}

/** By the name of each node that replicates another one. */
async function followingOf({ nodes }: Appliance): Promise<ReadonlyMap<string, string | undefined>> {
  return new Map(await Promise.all(nodes.map(async (node) => [node.name, (await node.health())?.following] as const)));
}

const isLive = ({ ok, state }: Health): boolean => ok && state === "LIVE";

async function loadExample({ primary, edges, adminKey }: Appliance, collector: Collector): Promise<readonly Span[]> {
  const traceId = randomHex(16);
  const oso = new Oso(primary.url, adminKey);
  const policy = await Bun.file(join(import.meta.dirname, "example", "policy.polar")).text();
  await step("policy", async () => [await oso.policy(policy), "checked, its tests run, active on the primary"]);
  await step("facts", async () => {
    const tracing = new Oso(primary.url, adminKey, { fetchBuilder: (fetch) => withTrace(fetch, traceId) });
    await tracing.batch((batch) => {
      for (const fact of facts) batch.insert(fact);
      return Promise.resolve();
    });
    return [undefined, `${facts.length} written to the primary in one batch`];
  });
  const offset = (await primary.health())?.offset ?? 0;
  await step("edges", async () => {
    const arrived = await until(10_000, async () => (await offsets(edges)).every((reached) => reached >= offset));
    if (!arrived) throw new Error(`the edges have not reached offset ${offset}`);
    return [undefined, `both have the policy and the facts (offset ${offset} of the log)`];
  });
  // If kept data have these facts already, nothing is written, and no edge has spans.
  const arrived = (name: string, span: string): boolean => hasSpan(collector.trace(traceId), name, span);
  await until(3000, async () => arrived(primary.name, "publish") && edges.every(({ name }) => arrived(name, "apply")));
  return collector.trace(traceId);
}

async function askAll({ edges: [edge], adminKey }: Appliance): Promise<Asked[]> {
  const oso = new Oso(edge.url, adminKey);
  const asked: Asked[] = [];
  for (const { text, why, ask, expected } of questions) {
    const startMs = performance.now();
    const answer = await ask(oso);
    const firstMs = performance.now() - startMs;
    await ask(oso);
    const againMs = performance.now() - startMs - firstMs;
    asked.push({ question: text, why, answer, expected, right: Bun.deepEquals(answer, expected), firstMs, againMs });
  }
  return asked;
}

async function traceOneDecision({ edges, adminKey }: Appliance, collector: Collector): Promise<readonly Span[]> {
  const traceId = randomHex(16);
  const oso = new Oso(edges[1].url, adminKey, { fetchBuilder: (fetch) => withTrace(fetch, traceId) });
  await questions.at(0)?.ask(oso);
  await until(2000, () => Promise.resolve(hasSpan(collector.trace(traceId), edges[1].name, "query")));
  return collector.trace(traceId);
}

type Fetch = (input: unknown, init?: { headers?: Record<string, string> }) => Promise<unknown>;

/** The trace context of the client, as instrumented applications send it. */
const withTrace =
  (fetch: Fetch, traceId: string): Fetch =>
  (input, init) =>
    fetch(input, { ...init, headers: { ...init?.headers, traceparent: `00-${traceId}-${randomHex(8)}-01` } });

function print(appliance: Appliance, asked: readonly Asked[], write: readonly Span[], read: readonly Span[]): void {
  const width = Math.max(...asked.map(({ question }) => question.length));
  const answers = asked.map(({ answer }) => show(answer));
  const answerWidth = Math.max(...answers.map((answer) => answer.length));
  say(
    `\nAsked at ${appliance.edges[0].name} (${appliance.edges[0].url}) through the official client (oso-cloud). Question, answer, time of the first call and of the second, reason:\n`,
  );
  for (const [index, { question, right, expected, firstMs, againMs, why }] of asked.entries()) {
    const times = `${firstMs.toFixed(1)} ms`.padStart(9) + `${againMs.toFixed(1)} ms`.padStart(9);
    const mark = right ? "✓" : paint(flags.json ? "stderr" : "stdout", "red", `✗ expected ${show(expected)}`);
    say(`  ${mark} ${question.padEnd(width)}  ${(answers[index] ?? "").padEnd(answerWidth)} ${times}   ${why}`);
  }
  say(`\n${asked.filter(({ right }) => right).length} of ${asked.length} answers are right.`);
  const arrived = write.some(({ name }) => name === "apply");
  const way = arrived
    ? "from the request at the primary until both edges have applied it"
    : "which existed already, so that there was no event for the edges";
  say(`\nTrace of the write of the facts, ${way} (step, node, start, duration):\n\n${drawTrace(write)}`);
  say(`\nTrace of one decision on ${appliance.edges[1].name}:\n\n${drawTrace(read)}`);
}

const report = (
  { nodes, adminKey }: Appliance,
  asked: readonly Asked[],
  write: readonly Span[],
  read: readonly Span[],
  allRight: boolean,
  following: ReadonlyMap<string, string | undefined>,
) => ({
  allRight,
  nodes: nodes.map(({ name, url, pid }) => ({ name, url, pid, following: following.get(name) })),
  adminKey,
  questions: asked,
  traces: { write, read },
});

/** Resolves at the first Ctrl-C or stop signal. */
function onStop(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
  });
}

/** Whether the condition became true in time. */
async function until(timeoutMs: number, condition: () => Promise<boolean>): Promise<boolean> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await Bun.sleep(10)) {
    if (await condition()) return true;
  }
  return false;
}

const offsets = (nodes: readonly NodeProcess[]): Promise<number[]> =>
  Promise.all(nodes.map(async (node) => (await node.health())?.offset ?? -1));

const hasSpan = (spans: readonly Span[], node: string, name: string): boolean =>
  spans.some((span) => span.node === node && span.name === name);

const show = (answer: Answer): string => (typeof answer === "boolean" ? (answer ? "yes" : "no") : answer.join(", "));

if (flags.help) {
  process.stdout.write(`${usage}\n`);
} else {
  const status = await main().catch(async (error: unknown) => {
    await printFailure(error instanceof Error ? error.message : String(error));
    return 1;
  });
  process.exit(status);
}
