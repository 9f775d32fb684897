/**
 * Decisions in this process, over a read-only connection of a file: nothing of HTTP is in these. The measure is one indexed probe of the same
 * file, the least that any answer out of it could cost: a prepared statement that looks one stored fact up by its whole key.
 */
import { Engine } from "../../src/engine/engine.ts";
import type { AuthorizeQuestion } from "../../src/engine/questions.ts";
import type { SqlDatabase, SqlRow } from "../../src/runtime/sqlite.ts";
import { openStore } from "../../src/store/database.ts";
import { factTable, factTables } from "../../src/store/fact-tables.ts";
import type { Company } from "./company.ts";
import { grantedQuestions, uniformQuestions } from "./questions.ts";
import { pick, random, type Random } from "./random.ts";
import { timeInTurns, type Task, type Times } from "./timing.ts";

export interface DecisionTimes {
  readonly probe: Times;
  readonly uniform: Times;
  readonly granted: Times;
  readonly list: Times;
  readonly actions: Times;
  readonly uniformAllowed: number;
  readonly grantedAllowed: number;
  /** How many ids a list has, on average. */
  readonly listLength: number;
}

/** `blocks` is how often all of them take turns. */
export function timeDecisions(path: string, company: Company, seed: number, blocks: number): DecisionTimes {
  const next = random(seed);
  const engine = new Engine(openStore(path, { readonly: true }));
  const probes = openStore(path, { readonly: true });
  try {
    requireFacts(probes, company);
    const uniform = uniformQuestions(company, next, 20_000);
    const granted = grantedQuestions(company, next, 20_000);
    const counts = { uniform: 0, granted: 0, listed: 0, lists: 0 };
    const times = timeInTurns(blocks, {
      probe: { callsPerBlock: 200, call: probeTask(probes, next) },
      uniform: asking(200, uniform, (question) => void (counts.uniform += Number(engine.authorize(question)))),
      granted: asking(100, granted, (question) => void (counts.granted += Number(engine.authorize(question)))),
      list: asking(2, uniform, ({ actor }) => {
        counts.listed += engine.list({ actor, action: "write", resourceType: "Repository", contextFacts: [] }).length;
        counts.lists += 1;
      }),
      actions: asking(20, uniform, (question) => void engine.actions(question)),
    });
    return {
      ...times,
      uniformAllowed: share(uniform, engine),
      grantedAllowed: share(granted, engine),
      listLength: counts.listed / counts.lists,
    };
  } finally {
    engine.close();
    probes.close();
  }
}

/** So that what is measured is really there. */
function requireFacts(store: SqlDatabase, { facts }: Company): void {
  const count = (table: string): number => Number(store.prepare(`SELECT count(*) FROM ${table}`).values()[0]?.[0]);
  const stored = factTables(store).reduce((sum, { table }) => sum + count(table), 0);
  if (stored < facts.length) throw new Error(`the file holds ${stored} facts, not ${facts.length}`);
}

function probeTask(store: SqlDatabase, next: Random): (index: number) => void {
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

function asking(
  callsPerBlock: number,
  questions: readonly AuthorizeQuestion[],
  ask: (q: AuthorizeQuestion) => void,
): Task {
  return { callsPerBlock, call: (index) => ask(questions[index % questions.length] as AuthorizeQuestion) };
}

const share = (questions: readonly AuthorizeQuestion[], engine: Engine): number =>
  questions.filter((question) => engine.authorize(question)).length / questions.length;
