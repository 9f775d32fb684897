/**
 * Decisions in this process over a read-only connection, without HTTP. The baseline is one indexed lookup of a stored fact
 * by its whole key with a prepared statement in the same file.
 */
import { Engine } from "../../src/engine/engine.ts";
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import type { SqlRow } from "../../src/runtime/sqlite.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { factTable } from "../../src/store/facts/fact-tables.ts";
import type { Company } from "./company.ts";
import type { Depth } from "./landmarks.ts";
import { engineLimits, type DecisionCache } from "./decision-cache.ts";
import { grantedQuestions, uniformQuestions } from "./questions.ts";
import { pick, random, zipf, type Random } from "./random.ts";
import { timeInTurns, warmUpBlocks, type Task, type Times } from "./timing.ts";

export interface DecisionTimes {
  readonly probe: Times;
  readonly uniform: Times;
  readonly granted: Times;
  /** Zipf-distributed questions from a pool, with the decision cache on. */
  readonly zipf: Times;
  readonly uniformAllowed: number;
  readonly grantedAllowed: number;
}

const poolSize = 100_000;

/** `blocks` is the number of rounds in which they alternate. */
export function timeDecisions(path: string, company: Company, seed: number, blocks: number): DecisionTimes {
  const next = random(seed);
  const [engine, remembering] = [openEngine(path, "off"), openEngine(path, "on")];
  const probes = openStore(path, { readonly: true });
  try {
    const pool = uniformQuestions(company, next, poolSize);
    const granted = grantedQuestions(company, 20_000);
    const rank = zipf(next, pool.length);
    const popular = Array.from({ length: (blocks + warmUpBlocks(blocks)) * 200 }, () => rank());
    const times = timeInTurns(blocks, {
      probe: { callsPerBlock: 200, call: probeTask(probes, next) },
      uniform: asking(200, engine, pool),
      granted: asking(100, engine, granted),
      zipf: {
        callsPerBlock: 200,
        call: (index) => void remembering.authorize(pool[popular[index] ?? 0] as AuthorizeQuestion),
      },
    });
    return {
      ...times,
      uniformAllowed: allowedShare(engine, pool.slice(0, 20_000)),
      grantedAllowed: allowedShare(engine, granted),
    };
  } finally {
    for (const opened of [engine, remembering, probes]) opened.close();
  }
}

export interface Sized {
  readonly path: string;
  readonly company: Company;
}

export interface SizedTimes {
  readonly company: Company;
  readonly times: Times;
  readonly allowed: number;
}

/** The same kind of question to companies of several sizes, alternating. */
export function timeSizes(files: readonly Sized[], seed: number, blocks: number): SizedTimes[] {
  const asked = files.map(({ path, company }) => ({
    company,
    engine: openEngine(path, "off"),
    questions: uniformQuestions(company, random(seed), 20_000),
  }));
  try {
    const tasks = asked.map(
      ({ engine, questions, company }) => [company.size, asking(200, engine, questions)] as const,
    );
    const times = timeInTurns(blocks, Object.fromEntries(tasks));
    return asked.map(({ company, engine, questions }) => ({
      company,
      times: times[company.size] as Times,
      allowed: allowedShare(engine, questions),
    }));
  } finally {
    for (const { engine } of asked) engine.close();
  }
}

/** The chains of the landmarks, alternating; the answers are all "allowed". */
export function timeDepths(path: string, depths: readonly Depth[], blocks: number): [Depth, Times][] {
  const engine = openEngine(path, "off");
  try {
    for (const { questions, folders } of depths)
      if (allowedShare(engine, questions) !== 1) throw new Error(`a chain ${folders} deep does not lead to its end`);
    const tasks = depths.map(({ folders, questions }) => [folders, asking(100, engine, questions)] as const);
    const times = timeInTurns(blocks, Object.fromEntries(tasks));
    return depths.map((depth) => [depth, times[depth.folders] as Times]);
  } finally {
    engine.close();
  }
}

/** With a warm symbol cache, as a node has it soon after its start. */
export function openEngine(path: string, decisionCache: DecisionCache): Engine {
  const engine = new Engine(openStore(path, { readonly: true }), { limits: engineLimits(decisionCache) });
  for (const _ of engine.warmUpSymbols());
  return engine;
}

export const allowedShare = (engine: Engine, questions: readonly AuthorizeQuestion[]): number =>
  questions.filter((question) => engine.authorize(question)).length / questions.length;

function probeTask(store: Connection, next: Random): (index: number) => void {
  const table = factTable(store, "has_role", 3);
  if (table === undefined) throw new Error("the file holds no roles");
  const stored = store.prepare(`SELECT a1, a2, a3 FROM ${table}`).values();
  const keys = Array.from({ length: 20_000 }, () => pick(next, stored));
  const probe = store.prepare(`SELECT 1 FROM ${table} WHERE a1 = ?1 AND a2 = ?2 AND a3 = ?3`);
  return (index) => {
    const [actor, role, resource] = keys[index % keys.length] as SqlRow;
    if (probe.values(actor ?? null, role ?? null, resource ?? null).length !== 1) throw new Error("a fact is missing");
  };
}

const asking = (callsPerBlock: number, engine: Engine, questions: readonly AuthorizeQuestion[]): Task => ({
  callsPerBlock,
  call: (index) => void engine.authorize(questions[index % questions.length] as AuthorizeQuestion),
});
