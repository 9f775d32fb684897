/** Engines with a fault, which random histories must detect. */
import { whileWriting } from "../../src/store/connection/sequence-lock.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { printCheck } from "../cases/case.ts";
import { openNodes, type Nodes } from "../histories/nodes.ts";

/** With the first seed of a search, which finds them soon. */
export const faults: readonly (readonly [string, number, () => Nodes])[] = [
  ["the decision cache ignores changes of facts", 20_252, cacheWithoutFacts],
  ["readers get no notification of changes", 20_252, missedChanges],
  ["a closure keeps deleted facts", 20_252, closuresThatGrow],
  ["a delete in a batch is lost", 20_252, lostDelete],
  ["rolled back changes remain", 20_252, keptChanges],
  ["the clock stops", 2, stoppedClock],
];

function cacheWithoutFacts(): Nodes {
  const nodes = openNodes();
  const known = new Map<string, boolean>();
  return {
    ...nodes,
    sides: nodes.sides.map((side) => ({
      ...side,
      asking(contextFacts) {
        const target = side.asking(contextFacts);
        if (side.name !== "decision cache" || contextFacts.length > 0) return target;
        return {
          ...target,
          authorize(check) {
            const allowed = known.get(printCheck(check)) ?? target.authorize(check);
            known.set(printCheck(check), allowed);
            return allowed;
          },
        };
      },
    })),
    write(request) {
      if (request.kind === "policy") known.clear();
      return nodes.write(request);
    },
  };
}

function missedChanges(): Nodes {
  const nodes = openNodes();
  return {
    ...nodes,
    write(request) {
      const before = Atomics.load(nodes.primary.changes, 0);
      try {
        return nodes.write(request);
      } finally {
        Atomics.store(nodes.primary.changes, 0, before);
      }
    },
  };
}

function closuresThatGrow(): Nodes {
  const nodes = openNodes();
  const { store, changes } = nodes.primary;
  const tables = () => closureTables(store).filter(({ isMaterialized }) => isMaterialized);
  return {
    ...nodes,
    write(request) {
      if (request.kind !== "batch") return nodes.write(request);
      const before = tables().map(({ id, table }) => ({
        id,
        rows: store.prepare(`SELECT a1, a2 FROM ${table}`).values(),
      }));
      const result = nodes.write(request);
      whileWriting(changes, () => {
        for (const { id, table } of tables()) {
          const insert = store.prepare(`INSERT OR IGNORE INTO ${table} VALUES (?1, ?2)`);
          for (const row of before.find((one) => one.id === id)?.rows ?? []) insert.run(...row);
        }
      });
      return result;
    },
  };
}

function lostDelete(): Nodes {
  const nodes = openNodes();
  return {
    ...nodes,
    write(request) {
      if (request.kind !== "batch" || request.changes.length < 2) return nodes.write(request);
      const lost = request.changes.find((change) => "deletes" in change);
      return nodes.write({ ...request, changes: request.changes.filter((change) => change !== lost) });
    },
  };
}

function keptChanges(): Nodes {
  const nodes = openNodes();
  return { ...nodes, undo: (request) => void nodes.write(request) };
}

function stoppedClock(): Nodes {
  return { ...openNodes(), setClock() {} };
}
