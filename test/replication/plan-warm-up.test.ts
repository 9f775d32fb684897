/** Plans that a node makes before a question needs them: what they cover, when they are made, and what readiness says. */
import { expect, spyOn, test } from "bun:test";
import { closeSync, copyFileSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { Planner } from "../../src/engine/query/planner.ts";
import { LocalDatabase } from "../../src/replication/replica/local-database.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState, readState } from "../../src/store/log/store-state.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { type Clock, systemClock } from "../../src/util/clock.ts";
import { apply, fact, inserted, policy } from "../engine/store.ts";
import { withDirectory } from "./cluster.ts";

const source = (role: string): string => `
  actor User {} actor Robot {}
  resource Doc { roles = ["${role}"]; permissions = ["read", "write"]; "read" if "${role}"; "write" if "${role}"; }
  resource Folder { permissions = ["open"]; relations = { owner: User }; "open" if "owner"; }`;

class Started {
  passedMs = 0;
  readonly later: (() => void)[] = [];
  /** How long each of them should have waited. */
  readonly delaysMs: number[] = [];
  readonly clock: Clock = {
    ...systemClock,
    monotonicMs: () => this.passedMs,
    after: (delayMs, task) => (this.delaysMs.push(delayMs), this.later.push(task), () => {}),
  };
  readonly copy: LocalDatabase;

  constructor(directory: string) {
    this.copy = new LocalDatabase(directory, defaultLimits, this.clock);
    this.copy.open(join(directory, "store-1.db"));
  }

  /** Runs all timers, and those that they start. */
  wait(): void {
    while (this.later.length > 0) this.later.shift()?.();
  }

  get isWarmingUp(): boolean {
    return this.copy.health().isWarmingUp === true;
  }
}

const withStore = (body: (directory: string, writer: Connection) => void): Promise<void> =>
  withDirectory(async (directory) => {
    const writer = openStore(join(directory, "store-1.db"));
    try {
      createState(writer, "test", "test");
      apply(writer, policy(source("reader")), inserted(fact("has_role", "User:ann", "String:reader", "Doc:one")));
      body(directory, writer);
    } finally {
      writer.close();
    }
  });

/** How many plans were in the cache when the questions needed them, and how many were made then. */
function plansOf(body: () => void): { readonly hits: number; readonly misses: number } {
  const counted = spyOn(metrics.planCache, "inc");
  try {
    body();
    const results = counted.mock.calls.map(([attributes]) => (attributes as { readonly result?: string }).result);
    return {
      hits: results.filter((result) => result === "hit").length,
      misses: results.filter((result) => result === "miss").length,
    };
  } finally {
    counted.mockRestore();
  }
}

function askAll({ copy }: Started): boolean[] {
  const engine = copy.engine();
  const allowed: boolean[] = [];
  for (const type of ["User", "Robot"])
    for (const [resourceType, actions] of [
      ["Doc", ["read", "write"]],
      ["Folder", ["open"]],
    ] as const) {
      const [actor, resource] = [
        { type, id: "ann" },
        { type: resourceType, id: "one" },
      ];
      for (const action of actions) {
        allowed.push(engine.authorize({ actor, action, resource, contextFacts: [] }));
        engine.list({ actor, action, resourceType, contextFacts: [] });
      }
      engine.actions({ actor, resource, contextFacts: [] });
    }
  return allowed;
}

test("what the policy declares is planned after the start, and again for a new policy", () =>
  withStore((directory, writer) => {
    const started = new Started(directory);
    const cold = new Started(directory);
    try {
      started.wait();
      expect(plansOf(() => askAll(started))).toEqual({ hits: 16, misses: 0 });
      expect(plansOf(() => askAll(cold)).misses).toBe(16);
      expect(askAll(started)).toEqual([true, true, false, false, false, false]);

      apply(writer, inserted(), policy(source("editor"), 2));
      started.copy.onStateChange(readState(writer));
      started.wait();
      expect(plansOf(() => askAll(started))).toEqual({ hits: 16, misses: 0 });
      expect(askAll(started)).toEqual(new Array(6).fill(false));
    } finally {
      started.copy.close();
      cold.copy.close();
    }
  }));

test("what was asked is planned at the next start, also what the policy does not declare", () =>
  withStore((directory) => {
    const robotReads = ({ copy }: Started): void => {
      const variables = new Map([
        ["who", { type: "Robot", ids: ["r"] }],
        ["what", { type: "String", ids: ["read"] }],
        ["doc", { type: "Doc", ids: null }],
      ]);
      const calls = [{ predicate: "has_permission", variables: [...variables.keys()] }];
      copy.engine().query({ calls, variables, contextFacts: [] });
    };
    const first = new Started(directory);
    expect(plansOf(() => robotReads(first)).misses).toBeGreaterThan(0);
    first.copy.close();
    expect(readFileSync(join(directory, "expected-questions"), "utf8")).toContain("has_permission");

    const second = new Started(directory);
    second.wait();
    expect(plansOf(() => robotReads(second)).misses).toBe(0);
    second.copy.close();

    for (const damaged of [
      "{",
      "[{}]",
      `[{"calls":[{"predicate":"allow/3","variables":[7]}],"variables":[],"context":[]}]`,
    ]) {
      writeFileSync(join(directory, "expected-questions"), damaged);
      const third = new Started(directory);
      third.wait();
      expect(third.isWarmingUp).toBe(false);
      expect(askAll(third)).toEqual([true, true, false, false, false, false]);
      third.copy.close();
    }
  }));

test("a sound database takes the place of a damaged one, whose questions cannot be read", () =>
  withStore((directory, writer) => {
    writer.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const [path, next] = [join(directory, "store-1.db"), join(directory, "store-2.db")];
    copyFileSync(path, next);
    const started = new Started(directory);
    askAll(started);
    // The pages of all tables, but not that of the schema.
    const bytes = readFileSync(path).fill(0xff, 4096);
    const file = openSync(path, "r+");
    writeSync(file, bytes);
    closeSync(file);
    const { copy } = started;
    expect(() => copy.engine().expectedQuestions).toThrow("malformed");
    copy.open(next, true);
    started.wait();
    expect(askAll(started)).toEqual([true, true, false, false, false, false]);
    copy.close();
  }));

test("a node that starts is not ready until the first plans are made, for at most two seconds", () =>
  withStore((directory, writer) => {
    const started = new Started(directory);
    expect(started.isWarmingUp).toBe(true);
    started.passedMs = 1999;
    expect(started.isWarmingUp).toBe(true);
    started.passedMs = 2000;
    expect(started.isWarmingUp).toBe(false);
    started.passedMs = 0;
    started.wait();
    expect(started.isWarmingUp).toBe(false);
    // Later plans delay no readiness.
    apply(writer, inserted(), policy(source("editor"), 2));
    started.copy.onStateChange(readState(writer));
    expect(started.isWarmingUp).toBe(false);
    started.copy.close();
  }));

test("what was never asked is planned only while the node is not ready", () =>
  withStore((directory, writer) => {
    const started = new Started(directory);
    const planAhead = spyOn(Planner.prototype, "planAhead");
    try {
      started.wait();
      expect(planAhead.mock.calls.length).toBe(16);
      const ask = (): boolean =>
        started.copy.engine().authorize({
          actor: { type: "User", id: "ann" },
          action: "read",
          resource: { type: "Doc", id: "one" },
          contextFacts: [],
        });
      expect(plansOf(ask)).toEqual({ hits: 1, misses: 0 });
      planAhead.mockClear();
      apply(writer, inserted(), policy(source("editor"), 2));
      started.copy.onStateChange(readState(writer));
      started.wait();
      expect(planAhead.mock.calls.length).toBe(1);
      expect(plansOf(ask)).toEqual({ hits: 1, misses: 0 });

      // It is ready after two seconds, with the plans that were made until then.
      planAhead.mockClear();
      const slow = new Started(directory);
      while (slow.later.length > 0) {
        slow.passedMs += 250;
        slow.later.shift()?.();
      }
      slow.copy.close();
      expect(planAhead.mock.calls.length).toBeGreaterThan(1);
      expect(planAhead.mock.calls.length).toBeLessThan(8);
    } finally {
      planAhead.mockRestore();
      started.copy.close();
    }
  }));

test("questions with types that nobody knows, and long ones, are not kept", () =>
  withStore((directory) => {
    const started = new Started(directory);
    const engine = started.copy.engine();
    const ask = (type: string, resourceType: string): boolean =>
      engine.authorize({
        actor: { type, id: "ann" },
        action: "read",
        resource: { type: resourceType, id: "one" },
        contextFacts: [],
      });
    for (let index = 0; index < 600; index++) expect(ask(`Invented${index}`, "Doc")).toBe(false);
    expect(ask("User", "x".repeat(2000))).toBe(false);
    const calls = Array.from({ length: 200 }, () => ({ predicate: "has_role", variables: ["a", "b", "c"] }));
    const variables = new Map([
      ["a", { type: "User", ids: ["ann"] }],
      ["b", { type: "String", ids: ["reader"] }],
      ["c", { type: "Doc", ids: ["one"] }],
    ]);
    expect(() => engine.query({ calls, variables, contextFacts: [] })).toThrow();
    expect(ask("User", "Doc")).toBe(true);
    started.copy.close();
    const kept = readFileSync(join(directory, "expected-questions"), "utf8");
    expect(JSON.parse(kept)).toHaveLength(1);
    expect(kept.length).toBeLessThan(1000);
  }));

test("a change that outdates no plan costs one look, however many plans there are", () =>
  withStore((directory, writer) => {
    const started = new Started(directory);
    started.wait();
    const planAhead = spyOn(Planner.prototype, "planAhead");
    const isSettled = spyOn(Planner.prototype, "isSettled");
    try {
      apply(writer, inserted(), inserted(fact("has_role", "User:bob", "String:reader", "Doc:one")));
      started.copy.onStateChange(readState(writer));
      started.copy.onStateChange(readState(writer));
      const before = started.delaysMs.length;
      started.wait();
      // Two steps at most: one for each snapshot that was read. The others release the snapshots.
      expect(started.delaysMs.length - before).toBeLessThanOrEqual(2);
      expect([planAhead.mock.calls.length, isSettled.mock.calls.length]).toEqual([0, 0]);
    } finally {
      planAhead.mockRestore();
      isSettled.mockRestore();
      started.copy.close();
    }
  }));

test("a hundred databases of a process make five plans each", () =>
  withStore((directory) => {
    const started = new Started(directory);
    const others = Array.from({ length: 99 }, () => new LocalDatabase(directory, defaultLimits, started.clock));
    const planAhead = spyOn(Planner.prototype, "planAhead");
    try {
      for (const copy of others) copy.open(join(directory, "store-1.db"));
      started.wait();
      expect(planAhead.mock.calls.length).toBe(500);
    } finally {
      planAhead.mockRestore();
      for (const copy of [started.copy, ...others]) copy.close();
    }
  }));

test("the databases of a process share one queue, which pauses after each plan", () =>
  withStore((directory) => {
    const one = new Started(directory);
    const planAhead = spyOn(Planner.prototype, "planAhead").mockImplementation(() => {
      one.passedMs += 1;
      return { kind: "nothing" };
    });
    const other = new LocalDatabase(directory, defaultLimits, one.clock);
    try {
      other.open(join(directory, "store-1.db"));
      one.wait();
      // Six decisions, six lists and four questions for actions, in each database.
      expect(planAhead.mock.calls.length).toBe(32);
      // One pause after each of them.
      expect(one.delaysMs.filter((delayMs) => delayMs === 6).length).toBe(32);
    } finally {
      planAhead.mockRestore();
      other.close();
      one.copy.close();
    }
  }));
