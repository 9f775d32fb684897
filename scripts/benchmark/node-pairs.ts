/**
 * Two nodes beside each other that differ in one respect: one logs and traces, or one hosts several environments. Both
 * get requests from the same generator, alternating.
 */
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { nextStorePath } from "../../src/store/directory/data-directory.ts";
import { startCollector } from "../otlp-collector.ts";
import { companyOf, factsOf, type Company } from "./company.ts";
import { environmentsOf } from "./environments.ts";
import { measureNodes, type Served } from "./http.ts";
import type { Sender } from "./load-generator.ts";
import { oneThread, withNodes, type Nodes } from "./nodes.ts";
import { bodyOf, uniformQuestions } from "./questions.ts";
import { random } from "./random.ts";
import { patienceMs } from "./starting.ts";
import { writeFile } from "./store-file.ts";

export interface PairOptions {
  readonly binary: string;
  readonly directory: string;
  readonly policy: string;
  readonly facts: number;
  readonly seed: number;
  readonly quick: boolean;
}

export interface FullRates {
  readonly plain: Served;
  readonly full: Served;
  readonly bytesPerDecision: number;
}

/** A node with limits, the whole decision log, and one traced request in a hundred, beside one without these. */
export async function measureFull(options: PairOptions): Promise<FullRates> {
  const { binary, seed, facts } = options;
  const company = companyOf(facts, seed);
  const [plainPlace, fullPlace] = [placeOf(options, "plain", company), placeOf(options, "full", company)];
  const bodies = bodiesOf(company, seed, 100_000);
  const collector = startCollector();
  const config = join(fullPlace, "limits.yaml");
  writeFileSync(config, JSON.stringify({ advanced: { decisionCacheEntriesMax: 0, ...limitsThatNobodyReaches } }));
  let rates: FullRates | undefined;
  const measure = async (plain: Nodes, full: Nodes): Promise<void> => {
    const senders = [{ key: plain.adminKey, bodies }];
    const served = await servedBy(options, plain, senders, full, senders);
    await full.primary.stop();
    const bytesPerDecision = bytesPerDecisionOf(join(fullPlace, "primary", "decisions.db"));
    rates = { plain: served.first, full: served.second, bytesPerDecision };
  };
  try {
    await withNodes(binary, plainPlace, "off", async (plain) => {
      const settings = {
        ...oneThread,
        OSTIARY_CONFIG: config,
        OSTIARY_ADMIN_KEY: plain.adminKey,
        OSTIARY_DECISIONS_LOG: "all",
        OSTIARY_TRACE_SAMPLE_RATIO: "0.01",
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      };
      await withNodes(binary, fullPlace, "off", (full) => measure(plain, full), settings);
    });
  } finally {
    await collector.stop();
  }
  if (rates === undefined) throw new Error("the node with a decision log was not measured");
  return rates;
}

const limitsThatNobodyReaches = {
  keyRequestsInFlightMax: 1000,
  environmentRequestsInFlightMax: 1000,
  keyReadsPerSecondMax: 1_000_000,
  environmentReadsPerSecondMax: 1_000_000,
};

export interface EnvironmentRates {
  readonly environments: number;
  readonly connections: number;
  readonly one: Served;
  readonly ten: Served;
}

/** Ten hosted environments with a tenth of the facts each, beside one node with all facts in its default environment. */
export async function measureTenEnvironments(options: PairOptions): Promise<EnvironmentRates> {
  const { binary, seed, facts } = options;
  const [whole, tenth] = [companyOf(facts, seed), companyOf(facts / environments, seed)];
  const places = [placeOf(options, "one", whole), placeOf(options, "ten", tenth)] as const;
  const bodies = 10_000;
  let rates: EnvironmentRates | undefined;
  const measure = async (one: Nodes, ten: Nodes): Promise<void> => {
    await ten.primary.start(undefined, patienceMs);
    const keys = await environmentsOf(ten, environments, { copyOf: "default" });
    const tenSenders = keys.map((key, index) => ({ key, bodies: bodiesOf(tenth, seed + index, bodies) }));
    const oneSenders = [{ key: one.adminKey, bodies: bodiesOf(whole, seed, bodies * environments) }];
    const served = await servedBy(options, one, oneSenders, ten, tenSenders);
    rates = { environments, connections, one: served.first, ten: served.second };
  };
  await withNodes(binary, places[0], "off", (one) => withNodes(binary, places[1], "off", (ten) => measure(one, ten)));
  if (rates === undefined) throw new Error("the environments were not measured");
  return rates;
}

const environments = 10;
/** The same number for each environment. */
const connections = 20;

/** A directory whose primary has the company. */
export function placeOf({ directory, policy }: PairOptions, name: string, company: Company): string {
  const place = join(directory, name);
  mkdirSync(join(place, "primary"), { recursive: true });
  writeFile(nextStorePath(join(place, "primary")), policy, factsOf(company));
  return place;
}

export const bodiesOf = (company: Company, seed: number, count: number): string[] =>
  uniformQuestions(company, random(seed + 4), count).map(bodyOf);

/** Starts the primaries that do not run yet. */
export async function servedBy(
  { seed, quick }: PairOptions,
  first: Nodes,
  firstSenders: readonly Sender[],
  second: Nodes,
  secondSenders: readonly Sender[],
): Promise<Record<"first" | "second", Served>> {
  for (const { primary } of [first, second]) if (!primary.running) await primary.start(undefined, patienceMs);
  const [rounds, secondsPerRound] = quick ? [3, 0.5] : [9, 1];
  const serverOf = ({ primary }: Nodes, senders: readonly Sender[]) => ({
    port: Number(new URL(primary.url).port),
    pid: primary.pid,
    senders,
  });
  const plan = { choice: "uniform", seed, connections, rounds, secondsPerRound } as const;
  return measureNodes(plan, { first: serverOf(first, firstSenders), second: serverOf(second, secondSenders) });
}

function bytesPerDecisionOf(path: string): number {
  const log = new SqliteDatabase(path, { readonly: true });
  const rows = Number(log.prepare("SELECT count(*) FROM decision").values()[0]?.[0]);
  log.close();
  return statSync(path).size / rows;
}
