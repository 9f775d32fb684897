/**
 * Answers of many rows. The baseline is a SELECT of the same answer from stored facts, with ids and strings joined, through
 * the same driver from the same file.
 */
import * as Bun from "bun";
import type { Engine } from "../../src/engine/engine.ts";
import type { Query } from "../../src/engine/request/questions.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { factTable } from "../../src/store/facts/fact-tables.ts";
import { findSymbol } from "../../src/store/facts/symbols.ts";
import { Repository, Text } from "./company.ts";
import { openEngine } from "./decisions.ts";
import { listedPredicate, type Listed, type Listing } from "./landmarks.ts";
import { timeInTurns, type Times } from "./timing.ts";

export interface ListingTimes {
  readonly name: string;
  readonly key: string;
  readonly rows: number;
  readonly asked: Times;
  readonly selected: Times;
}

/** One after the other, each alternating with its SELECT. */
export function timeListings(path: string, listings: readonly Listing[], blocks: number): ListingTimes[] {
  const engine = openEngine(path, "off");
  const store = openStore(path, { readonly: true });
  try {
    const select = selecting(store);
    return listings.map(({ name, key, kind, asked }) => {
      const of = (index: number): Listed => asked[index % asked.length] as Listed;
      for (const listed of asked) requireEqual(name, listed, ask(engine, kind, listed), select(listed));
      const rows = of(0).answer.length;
      const callsPerBlock = Math.max(1, Math.round(400 / rows));
      const times = timeInTurns(blocks, {
        asked: { callsPerBlock, call: (index) => void ask(engine, kind, of(index)) },
        selected: { callsPerBlock, call: (index) => void select(of(index)) },
      });
      return { name, key, rows, ...times };
    });
  } finally {
    engine.close();
    store.close();
  }
}

function ask(engine: Engine, kind: Listing["kind"], { about }: Listed): (string | null | undefined)[] {
  switch (kind) {
    case "list":
      return engine.list({ actor: about, action: "write", resourceType: "Repository", contextFacts: [] });
    case "actions":
      return engine.actions({ actor: about, resource: Repository(about.id), contextFacts: [] });
    case "who-can":
      return engine.query(whoCan(about.id)).map(({ actor }) => actor);
  }
}

const whoCan = (repository: string): Query => ({
  calls: [{ predicate: "allow", variables: ["actor", "action", "resource"] }],
  variables: new Map([
    ["actor", { type: "User", ids: null }],
    ["action", { type: "String", ids: ["write"] }],
    ["resource", { type: "Repository", ids: [repository] }],
  ]),
  contextFacts: [],
});

function selecting(store: Connection): (listed: Listed) => string[] {
  const table = factTable(store, listedPredicate, 2);
  if (table === undefined) throw new Error("the file holds no landmarks");
  const statement = store.prepare(`SELECT s.value FROM ${table} f JOIN symbol s ON s.id = f.a2 WHERE f.a1 = ?1`);
  const ids = new Map<string, number | null>();
  return ({ key }) => {
    const id = ids.get(key) ?? findSymbol(store, Text(key)) ?? null;
    ids.set(key, id);
    return statement.values(id).map((row) => String(row[0]));
  };
}

function requireEqual(name: string, { answer }: Listed, ...answers: readonly (string | null | undefined)[][]): void {
  const wanted = answer.map(({ id }) => id).toSorted();
  for (const found of answers)
    if (!Bun.deepEquals(found.toSorted(), wanted)) throw new Error(`${name}: not the answer that there should be`);
}
