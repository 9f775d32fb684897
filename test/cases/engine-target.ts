/** The engine over a store of its own, filled by the same events that a running node applies. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyEvent } from "../../src/engine/apply.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Effect } from "../../src/engine/event.ts";
import type { Query, Row } from "../../src/engine/questions.ts";
import { openStore } from "../../src/store/database.ts";
import { createState } from "../../src/store/state.ts";
import type { Fact, Value } from "../../src/store/fact.ts";
import type { Check } from "./case.ts";
import type { Target } from "./run.ts";

/** Unlike other targets it answers at once. */
export interface EngineTarget extends Target, Disposable {
  authorize(check: Check): boolean;
  list(actor: Value, action: string, type: string): string[];
  actions(actor: Value, resource: Value): string[];
  query(query: Query): Row[];
}

export interface EngineInput {
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly contextFacts: readonly Fact[];
  readonly now: number;
}

export function openEngine({ policy, facts, contextFacts, now }: EngineInput, options: EngineOptions): EngineTarget {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-case-"));
  const path = join(folder, "data.db");
  const writer = openStore(path, { synchronous: "NORMAL" });
  createState(writer, "test", "0000000000000001");
  const effects: Effect[] = [
    { kind: "policy", id: 1, source: policy, filename: "case.polar" },
    { kind: "facts", inserted: facts.map(({ predicate, args }) => ({ predicate, args: [...args] })), deleted: [] },
  ];
  effects.forEach((effect, index) => {
    writer.transaction(
      () => applyEvent(writer, { offset: index + 1, timeMs: now * 1000, traceparent: null, effect }),
      "immediate",
    );
  });
  writer.close();
  const engine = new Engine(openStore(path, { readonly: true }), { ...options, clock: () => now });
  return {
    authorize: (check) => engine.authorize({ ...check, contextFacts }),
    list: (actor, action, resourceType) => engine.list({ actor, action, resourceType, contextFacts }),
    actions: (actor, resource) => engine.actions({ actor, resource, contextFacts }),
    query: (query) => engine.query({ ...query, contextFacts }),
    [Symbol.dispose]() {
      engine.close();
      rmSync(folder, { recursive: true });
    },
  };
}
