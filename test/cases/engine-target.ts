/** The engine over a store of its own, filled by the same events that a running node applies. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyEvent } from "../../src/engine/apply.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Effect } from "../../src/engine/event.ts";
import type { Query, Row } from "../../src/engine/questions.ts";
import type { SqlDatabase } from "../../src/runtime/sqlite.ts";
import { openStore } from "../../src/store/database.ts";
import { createState } from "../../src/store/state.ts";
import type { Fact, Value } from "../../src/store/fact.ts";
import type { Check } from "./case.ts";
import type { Target } from "./run.ts";

/** Unlike other targets it answers at once. */
export interface EngineTarget extends Target, Disposable {
  authorize(check: Check): boolean;
  list(actor: Value, action: string, type: string): string[];
  pages(actor: Value, action: string, type: string, limit: number): string[];
  actions(actor: Value, resource: Value): string[];
  query(query: Query): Row[];
}

export interface EngineInput {
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly contextFacts: readonly Fact[];
  readonly now: number;
}

/** In a file, as a node has it: one connection writes, the engine reads on its own. */
export function openEngine(input: EngineInput, options: EngineOptions): EngineTarget {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-case-"));
  const path = join(folder, "data.db");
  const writer = openStore(path, { synchronous: "NORMAL" });
  fill(writer, input);
  writer.close();
  return target(input, openStore(path, { readonly: true }), options, () => rmSync(folder, { recursive: true }));
}

/** In memory and on one connection, for those who open thousands. */
export function openEngineInMemory(input: EngineInput, options: EngineOptions): EngineTarget {
  const database = openStore(":memory:");
  fill(database, input);
  return target(input, database, options, () => {});
}

function fill(database: SqlDatabase, { policy, facts, now }: EngineInput): void {
  createState(database, "test", "0000000000000001");
  const inserted = facts.map(({ predicate, args }) => ({ predicate, args: [...args] }));
  const effects: Effect[] = [
    { kind: "policy", id: 1, source: policy, filename: "case.polar" },
    { kind: "facts", inserted, deleted: [] },
  ];
  effects.forEach((effect, index) => {
    const event = { offset: index + 1, timeMs: now * 1000, traceparent: null, effect };
    database.transaction(() => applyEvent(database, event), "immediate");
  });
}

function target(
  { contextFacts, now }: EngineInput,
  database: SqlDatabase,
  options: EngineOptions,
  clean: () => void,
): EngineTarget {
  const engine = new Engine(database, { ...options, clock: () => now });
  return {
    authorize: (check) => engine.authorize({ ...check, contextFacts }),
    list: (actor, action, resourceType) => engine.list({ actor, action, resourceType, contextFacts }),
    pages(actor, action, resourceType, limit) {
      const all: string[] = [];
      for (let after: string | undefined; ; after = all.at(-1)) {
        const page = engine.list({ actor, action, resourceType, contextFacts, after, limit });
        all.push(...page);
        if (page.length < limit) return all;
      }
    },
    actions: (actor, resource) => engine.actions({ actor, resource, contextFacts }),
    query: (query) => engine.query({ ...query, contextFacts }),
    [Symbol.dispose]() {
      engine.close();
      clean();
    },
  };
}
