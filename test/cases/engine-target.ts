/** The engine over a store of its own, which is filled by the same events that a running node applies. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { findClosureDamage } from "../../src/log/derived/closures.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Effect } from "../../src/log/event/event.ts";
import type { Query, QueryRow } from "../../src/engine/request/questions.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { Fact, FactPattern, Value } from "../../src/store/facts/fact.ts";
import { advanceState, createState, readState } from "../../src/store/log/store-state.ts";
import type { Check } from "./case.ts";
import type { Target } from "./run.ts";

/** Unlike other targets, it answers synchronously. */
export interface EngineTarget extends Target {
  authorize(check: Check): boolean;
  list(actor: Value, action: string, type: string): string[];
  actions(actor: Value, resource: Value): string[];
  query(query: Query): QueryRow[];
  queryPattern(fact: FactPattern): FactPattern[];
}

export interface EngineInput {
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly contextFacts: readonly Fact[];
  readonly now: number;
}

/** An engine whose store can change. */
export interface LiveEngine extends Disposable {
  readonly engine: Engine;
  apply(effect: Effect): void;
  asking(contextFacts: readonly Fact[]): EngineTarget;
}

/** In a file, as on a node: one connection writes, and the engine reads on another. */
export function openEngine(input: EngineInput, options: EngineOptions): EngineTarget & Disposable {
  return filled(openLiveEngine(input.now, options), input);
}

/** In memory and on one connection, for tests that open thousands. */
export function openEngineInMemory(input: EngineInput, options: EngineOptions): EngineTarget & Disposable {
  const database = openStore(":memory:");
  createState(database, "test", "0000000000000001");
  return filled(
    live(database, database, input.now, options, () => {}),
    input,
  );
}

/** The engine itself, with this policy and these stored facts, in memory. */
export function openFilledEngine(
  { policy, facts, now }: Omit<EngineInput, "contextFacts">,
  options: EngineOptions = {},
): LiveEngine {
  const database = openStore(":memory:");
  createState(database, "test", "0000000000000001");
  const opened = live(database, database, now, options, () => {});
  opened.apply({ kind: "policy", id: 1, source: policy, filename: "case.polar" });
  opened.apply(insertion(facts));
  return opened;
}

/** Two engines over one store in memory, one for each strategy. */
export function openBothInMemory(
  input: EngineInput,
): { readonly engines: Readonly<Record<"statement" | "evaluator", EngineTarget>> } & Disposable {
  const database = openStore(":memory:");
  createState(database, "test", "0000000000000001");
  const statement = filled(
    live(database, database, input.now, { strategy: "statement" }, () => {}),
    input,
  );
  const evaluator = new Engine(database, { strategy: "evaluator", clock: () => input.now });
  return {
    engines: { statement, evaluator: targetOf(evaluator, input.contextFacts) },
    [Symbol.dispose]: () => statement[Symbol.dispose](),
  };
}

export function openLiveEngine(now: number, options: EngineOptions): LiveEngine {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-case-"));
  const path = join(folder, "data.db");
  const writer = openStore(path, { synchronous: "NORMAL" });
  writer.enableWriterCache();
  createState(writer, "test", "0000000000000001");
  return live(writer, openStore(path, { readonly: true }), now, options, () => {
    writer.close();
    rmSync(folder, { recursive: true });
  });
}

export function insertion(facts: readonly Fact[]): Effect {
  return { kind: "facts", inserted: mutable(facts), deleted: [] };
}

function mutable(facts: readonly Fact[]): { predicate: string; args: Value[] }[] {
  return facts.map(({ predicate, args }) => ({ predicate, args: [...args] }));
}

function filled(engine: LiveEngine, { policy, facts, contextFacts }: EngineInput): EngineTarget & Disposable {
  engine.apply({ kind: "policy", id: 1, source: policy, filename: "case.polar" });
  engine.apply(insertion(facts));
  return { ...engine.asking(contextFacts), [Symbol.dispose]: () => engine[Symbol.dispose]() };
}

function live(
  writer: Connection,
  reader: Connection,
  now: number,
  options: EngineOptions,
  clean: () => void,
): LiveEngine {
  const engine = new Engine(reader, { clock: () => now, ...options });
  const { limits = defaultLimits } = options;
  return {
    engine,
    apply(effect) {
      writer.transaction(() => {
        const offset = readState(writer).offset + 1;
        applyEvent(writer, { offset, timeMs: now * 1000, traceparent: null, effect }, limits);
        const damage = findClosureDamage(writer, limits);
        if (damage !== undefined) throw new Error(damage);
        advanceState(writer, { offset, hash: "0000000000000000", timeMs: now * 1000 });
      }, "immediate");
    },
    asking: (contextFacts) => targetOf(engine, contextFacts),
    [Symbol.dispose]() {
      engine.close();
      clean();
    },
  };
}

/** A target that asks the engine with these context facts. */
export function targetOf(engine: Engine, contextFacts: readonly Fact[]): EngineTarget {
  return {
    authorize: (check) => engine.authorize({ ...check, contextFacts }),
    list: (actor, action, resourceType) => engine.list({ actor, action, resourceType, contextFacts }),
    actions: (actor, resource) => engine.actions({ actor, resource, contextFacts }),
    query: (query) => engine.query({ ...query, contextFacts }),
    queryPattern: (fact) => engine.queryPattern({ fact, contextFacts }),
  };
}
