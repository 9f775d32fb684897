/**
 * A siege: attackers run in phases and then together against a primary, an edge and a fallback, while one honest client
 * reads and another one writes. All are separate processes. Attackers have the lowest priority: in reality they would
 * have their own machines, and would not use the processors of the nodes. `verdict.ts` has the bounds.
 */
import * as Bun from "bun";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { nodeNames, type AttackPlan, type AttackReport, type NodeName } from "./attack.ts";
import { attacks, background, type AttackName } from "./attacks.ts";
import { Child } from "../harness/child-process.ts";
import { isPassed, percentile, type Verdict } from "../harness/verdicts.ts";
import { fillerName } from "./disk-attack.ts";
import { checkFinally, Ledger } from "./final-check.ts";
import { NodeWatch, serverErrorsAt } from "./node-watch.ts";
import type { ReaderMessage, ReaderPlan, ReadFailure, ReadSample } from "./reader.ts";
import { SiegeCluster } from "./siege-cluster.ts";
import { bounds, judge, phaseAt, rest, warmUp } from "./verdict.ts";
import type { MemoryMeasure, Phase, ServerErrorCount } from "./verdict.ts";
import type { WriterMessage, WriterPlan } from "./writer.ts";

export interface SiegeOptions {
  readonly binary: string;
  /** The duration of the attacks, without warm-up and rest. */
  readonly seconds: number;
  readonly seed: number;
  readonly facts: number;
  /** Undefined for all of them. */
  readonly attacks?: readonly AttackName[] | undefined;
  /** Whether data directories are mounted file systems, so that they can be filled. */
  readonly mayMount: boolean;
  readonly tell: (text: string) => void;
}

export interface SiegeOutcome {
  readonly ok: boolean;
  readonly seed: number;
  readonly seconds: number;
  readonly verdicts: readonly Verdict[];
  readonly phases: readonly PhaseReport[];
  readonly reads: number;
  readonly healthChecks: number;
  readonly writes: Ledger["counts"];
  /** Writes of the honest client that were refused, by status and text. */
  readonly refusals: Readonly<Record<string, number>>;
}

interface PhaseReport extends Phase {
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** A run of this duration uses the full numbers. */
const fullSeconds = 300;
const fullRequests = 200_000;
const fullRunSeconds = 600;
const readsPerSecond = 50;
const mixed = "all attacks together";
/** Next to the weights in `attacks.ts`. */
const mixedWeight = 5;
/** The time for random requests at the end, in addition to the weights. */
const remainderWeight = 1;
const restSeconds = 60;
const [warmUpSecondsMin, warmUpSecondsMax, warmUpRequestsPerSecond] = [10, 30, 150];
/** A short run waits until memory is 5 % below its bound, because some is allocated before the next measurement. */
const releasedShare = 0.95;
const attackerGraceMs = 15_000;

export async function besiege(options: SiegeOptions): Promise<SiegeOutcome> {
  const isFull = options.seconds >= fullSeconds;
  const cluster = await SiegeCluster.start({
    ...options,
    descriptorsMax: isFull ? 4096 : 1024,
    refreshSeconds: isFull ? 10 : 3,
  });
  const siege = new Siege(options, cluster);
  try {
    return await siege.run();
  } finally {
    siege.close();
    await cluster.stop();
  }
}

class Siege {
  readonly #options: SiegeOptions;
  readonly #cluster: SiegeCluster;
  readonly #watch: NodeWatch;
  readonly #startMs = Date.now();
  readonly #children = new Set<Child<never>>();
  readonly #phases: PhaseReport[] = [];
  readonly #samples: ReadSample[] = [];
  readonly #failures: ReadFailure[] = [];
  readonly #unhealthy: ReadFailure[] = [];
  readonly #serverErrors: ServerErrorCount[] = [];
  readonly #known500s = new Map<NodeName, ReadonlyMap<string, number>>();
  readonly #brokenAttackers: string[] = [];
  readonly #ledger = new Ledger();
  #attackPlan: Omit<AttackPlan, "attack" | "seconds" | "scale" | "seed" | "requests"> | undefined;
  #healthChecks = 0;
  #attackSeed: number;

  constructor(options: SiegeOptions, cluster: SiegeCluster) {
    this.#options = options;
    this.#cluster = cluster;
    this.#watch = new NodeWatch(cluster.nodes);
    this.#attackSeed = options.seed * 1000;
  }

  async run(): Promise<SiegeOutcome> {
    const { seconds, tell } = this.#options;
    const { attackers, honest } = await this.#cluster.makeKeys();
    const { urls, mqttPort, disks } = this.#cluster;
    const descriptorsMax = seconds >= fullSeconds ? 4096 : 1024;
    this.#attackPlan = { urls, mqttPort, keys: attackers, descriptorsMax, disks };
    this.#watch.start();
    const questions = await this.#cluster.questions();
    const bareUrl = await this.#startBareServer();
    const reader = this.#startReader({ urls, bareUrl, key: honest, perSecond: readsPerSecond, questions });
    const writer = this.#startWriter();

    await this.#phase(warmUp, () => this.#warmUp());
    const warm = this.#memory();
    const requests = await this.#load();
    const status = await writer.stop();
    if (status !== 0) this.#brokenAttackers.push(`the honest writer: ended with status ${status}`);
    await this.#phase(rest, () => this.#rest(warm));
    await reader.stop();
    tell("looking for every acknowledged write and every revoked key on every node");
    const findings = await checkFinally(urls, this.#ledger, this.#cluster);
    this.#watch.stop();
    return this.#outcome(warm, requests, findings);
  }

  /** Ends all processes except the nodes, which the cluster stops. */
  close(): void {
    this.#watch.stop();
    for (const child of this.#children) child.kill();
  }

  #outcome(
    warm: Phase["anonymousBytes"],
    requests: { readonly wanted: number; readonly sent: number },
    findings: Awaited<ReturnType<typeof checkFinally>>,
  ): SiegeOutcome {
    const rested = this.#phases.at(-1)?.anonymousBytes ?? {};
    const memory = Object.fromEntries(
      nodeNames.map((name): [NodeName, MemoryMeasure] => [
        name,
        { warmBytes: warm[name] ?? 0, restedBytes: rested[name] },
      ]),
    );
    const verdicts = judge({
      phases: this.#phases,
      samples: this.#samples,
      failures: this.#failures,
      unhealthy: this.#unhealthy,
      exits: this.#watch.exits,
      serverErrors: this.#serverErrors,
      brokenAttackers: this.#brokenAttackers,
      findings,
      memory,
      output: this.#watch.outputSizes(),
      requests,
      seconds: (Date.now() - this.#startMs) / 1000,
    });
    return {
      ok: isPassed(verdicts),
      seed: this.#options.seed,
      seconds: this.#options.seconds,
      verdicts,
      phases: this.#phases,
      reads: this.#samples.filter(({ node }) => node !== "bare").length,
      healthChecks: this.#healthChecks,
      writes: this.#ledger.counts,
      refusals: Object.fromEntries(this.#ledger.refusals),
    };
  }

  /** Requests of all kinds, so many that hot code is compiled: memory is compared with a node after some work. */
  async #warmUp(): Promise<Counts> {
    const seconds = Math.min(warmUpSecondsMax, Math.max(warmUpSecondsMin, this.#options.seconds / 10));
    const requests = Math.round(seconds * warmUpRequestsPerSecond);
    const { report } = await this.#attack(background, { seconds, scale: 1, requests });
    return { [background]: report.counts };
  }

  async #load(): Promise<{ readonly wanted: number; readonly sent: number }> {
    const { seconds } = this.#options;
    const wanted = Math.round((fullRequests * seconds) / fullRunSeconds);
    // With a reserve at the end for delayed requests.
    const random = this.#attack(background, { seconds: seconds * 1.3, scale: 1, requests: wanted });
    const chosen = this.#options.attacks ?? (Object.keys(attacks) as AttackName[]);
    const possible = chosen.filter((name) => name !== "full disks" || this.#options.mayMount);
    const weights = possible.reduce((sum, name) => sum + attacks[name].weight, mixedWeight + remainderWeight);
    const scale = Math.min(1, seconds / fullSeconds);
    for (const name of possible) {
      const share = (seconds * attacks[name].weight) / weights;
      await this.#phase(name, async () => {
        const { report } = await this.#attack(name, { seconds: share, scale, requests: 0 });
        return { [name]: report.counts };
      });
      if (name === "full disks") this.#freeDisks();
    }
    await this.#phase(mixed, async () => {
      const options = { seconds: (seconds * mixedWeight) / weights, scale: scale * 0.25, requests: 0 };
      const mixing = possible.filter((name) => attacks[name].mixes);
      const ended = await Promise.all(mixing.map((name) => this.#attack(name, options)));
      return Object.fromEntries(ended.map(({ report }, index) => [mixing[index] ?? "", report.counts]));
    });
    let sent = 0;
    await this.#phase(background, async () => {
      const { report } = await random;
      sent = report.counts["requests"] ?? 0;
      return { [background]: report.counts };
    });
    return { wanted, sent };
  }

  async #rest(warm: Phase["anonymousBytes"]): Promise<Counts> {
    const endMs = Date.now() + restSeconds * 1000;
    // A short run does not wait longer than it must.
    const isShort = this.#options.seconds < fullSeconds;
    const isReleased = (): boolean => {
      const now = this.#memory();
      return nodeNames.every(
        (name) => (now[name] ?? Infinity) <= (warm[name] ?? 0) * bounds.memoryRatio * releasedShare,
      );
    };
    while (Date.now() < endMs && !(isShort && isReleased())) await Bun.sleep(1000);
    return {};
  }

  #startBareServer(): Promise<string> {
    return new Promise((resolve) => {
      this.#child<{ readonly url: string }>("bare-server.ts", {}, ({ url }) => resolve(url));
    });
  }

  #startReader(plan: ReaderPlan): Child<ReaderMessage> {
    return this.#child<ReaderMessage>("reader.ts", plan, (message) => {
      this.#samples.push(...message.samples);
      this.#failures.push(...message.failures);
      this.#unhealthy.push(...message.unhealthy);
      this.#healthChecks += message.healthChecks;
    });
  }

  #startWriter(): Child<WriterMessage> {
    const { urls, adminKey } = this.#cluster;
    const { seed } = this.#options;
    const plan: WriterPlan = { urls, adminKey, writesPerSecond: 20, keysPerSecond: 2, seed };
    return this.#child<WriterMessage>("writer.ts", plan, (message) => this.#ledger.take(message));
  }

  async #attack(
    attack: AttackName | typeof background,
    options: Pick<AttackPlan, "seconds" | "scale" | "requests">,
  ): Promise<{ readonly report: AttackReport }> {
    if (this.#attackPlan === undefined) throw new Error("the keys of the attackers are not made yet");
    const plan: AttackPlan = { ...this.#attackPlan, ...options, attack, seed: this.#attackSeed++ };
    let report: AttackReport = { counts: {}, serverErrors: [] };
    const child = this.#child<AttackReport>("attacker.ts", plan, (latest) => (report = latest), "idle");
    const timer = setTimeout(() => child.kill(), options.seconds * 1000 + attackerGraceMs);
    const status = await child.exited;
    clearTimeout(timer);
    if (status !== 0) this.#brokenAttackers.push(`${attack}: ended with status ${status}`);
    this.#noteServerErrors(report);
    return { report };
  }

  /**
   * Responses that attackers saw and no node counted: those of the HTTP server itself. The others come from metrics.
   */
  #noteServerErrors({ serverErrors }: AttackReport): void {
    for (const { node, atMs, request, body } of serverErrors) {
      const phase = phaseAt([...this.#phases, this.#running()], atMs);
      this.#serverErrors.push({ phase, node, request: `${request}: ${body} (seen by the client)`, count: 1 });
    }
  }

  #child<Message>(
    script: string,
    plan: unknown,
    onMessage: (message: Message) => void,
    priority?: "idle",
  ): Child<Message> {
    const child = new Child<Message>(join(import.meta.dirname, script), plan, onMessage, priority);
    this.#children.add(child as Child<never>);
    void child.exited.then(() => this.#children.delete(child as Child<never>));
    return child;
  }

  #current: { readonly name: string; readonly startMs: number } = { name: warmUp, startMs: Date.now() };

  #running(): Phase {
    return { ...this.#current, endMs: Infinity, anonymousBytes: {} };
  }

  async #phase(name: string, body: () => Promise<Counts>): Promise<void> {
    const startMs = Date.now();
    this.#current = { name, startMs };
    const counts = await body();
    await this.#count500s(name);
    const phase = { name, startMs, endMs: Date.now(), anonymousBytes: this.#memory(), counts };
    this.#phases.push(phase);
    this.#options.tell(this.#progress(phase));
  }

  /** The counts of each node since the last phase. A restarted node counts from 0. */
  async #count500s(phase: string): Promise<void> {
    await Promise.all(
      nodeNames.map(async (node) => {
        const counts = await serverErrorsAt(this.#cluster.urls[node], this.#cluster.adminKey);
        if (counts === undefined) return;
        const known = this.#known500s.get(node);
        for (const [request, count] of counts) {
          const before = known?.get(request) ?? 0;
          const since = count >= before ? count - before : count;
          if (since > 0) this.#serverErrors.push({ phase, node, request: `${request} (counted)`, count: since });
        }
        this.#known500s.set(node, counts);
      }),
    );
  }

  #memory(): Phase["anonymousBytes"] {
    const bytes = nodeNames.map((name) => [name, this.#watch.anonymousBytes(name)] as const);
    return Object.fromEntries(bytes.filter(([, count]) => count !== undefined));
  }

  #freeDisks(): void {
    for (const disk of Object.values(this.#cluster.disks)) rmSync(join(disk, fillerName), { force: true });
  }

  #progress({ name, startMs, endMs, anonymousBytes, counts }: PhaseReport): string {
    const seconds = ((endMs - startMs) / 1000).toFixed(1);
    const within = (atMs: number): boolean => atMs >= startMs && atMs < endMs;
    const nodes = nodeNames.map((node) => {
      const times = this.#samples.filter((one) => one.node === node && within(one.atMs)).map(({ tookMs }) => tookMs);
      const failed = this.#failures.filter((one) => one.node === node && within(one.atMs)).length;
      const megabytes = Math.round((anonymousBytes[node] ?? 0) / 1e6);
      const latency =
        times.length === 0
          ? "no answer yet to what was asked meanwhile"
          : `p99 ${percentile(times, 0.99).toFixed(0)} ms, longest ${percentile(times, 1).toFixed(0)} ms`;
      return `    ${node.padEnd(8)} ${latency}, ${failed} failed reads, ${megabytes} MB`;
    });
    const done = Object.entries(counts).map(([attack, numbers]) => {
      const list = Object.entries(numbers).map(([what, count]) => `${what} ${count.toLocaleString("en")}`);
      return `    ${attack}: ${list.join(", ")}`;
    });
    return [`${name} (${seconds} s)`, ...nodes, ...done].join("\n");
  }
}

type Counts = PhaseReport["counts"];
