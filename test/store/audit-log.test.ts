/** The table of the audit log: pages with filters, retention, copies from other databases. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import {
  auditEntry,
  auditEntrySchema,
  operator,
  type AuditEntry,
  type AuditOutcome,
} from "../../src/store/log/audit-entry.ts";
import {
  addAuditEntries,
  auditEntriesAfter,
  auditEntriesOfEvents,
  auditSeqBefore,
  copyAuditEntries,
  detachAuditEntries,
  excessAuditEntries,
  lastAuditTime,
  readAuditPage,
  removeAuditEntries,
  type AuditFilter,
  type AuditPosition,
} from "../../src/store/log/audit-log.ts";

let directory = "";
let store: Connection;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ostiary-audit-"));
  store = openStore(join(directory, "a.db"));
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

function entryAt(timeMs: number, outcome: AuditOutcome = {}, who = "admin"): AuditEntry {
  const actor = { kind: "key", id: who, name: `name of ${who}` };
  return auditEntry({ actor, action: "policy.upload", target: String(timeMs) }, { node: "primary", timeMs }, outcome);
}

function add(...entries: AuditEntry[]): void {
  store.transaction(() => addAuditEntries(store, entries, { received: false }));
}

const refused = { result: "refused", code: "forbidden" } as const;
const times = (entries: readonly AuditEntry[]): number[] => entries.map(({ timeMs }) => timeMs);

function allPages(filter: AuditFilter, size: number, examinedMax = 1000): { times: number[]; pages: number } {
  const found: number[] = [];
  let before: AuditPosition | undefined;
  for (let pages = 1; ; pages++) {
    const { entries, next } = readAuditPage(store, filter, { before, size, examinedMax });
    expect(entries.length).toBeLessThanOrEqual(size);
    found.push(...times(entries));
    if (next === undefined) return { times: found, pages };
    before = next;
  }
}

describe("pages", () => {
  test("have the newest entries first, also if several have one time", () => {
    add(...[3, 1, 2, 2, 2, 5].map((time) => entryAt(time)));
    expect(allPages({}, 2)).toEqual({ times: [5, 3, 2, 2, 2, 1], pages: 3 });
    expect(allPages({}, 6)).toEqual({ times: [5, 3, 2, 2, 2, 1], pages: 1 });
    expect(readAuditPage(store, {}, { size: 1, examinedMax: 10 }).entries[0]).toMatchObject({ target: "5" });
  });

  test("are filtered by the id or the name of the actor, action, result and time", () => {
    add(entryAt(1), entryAt(2, refused), entryAt(3, {}, "ci"), entryAt(4, { result: "unchanged" }, "ci"));
    expect(allPages({ who: "ci" }, 10).times).toEqual([4, 3]);
    expect(allPages({ who: "name of admin" }, 10).times).toEqual([2, 1]);
    expect(allPages({ who: "nobody" }, 10).times).toEqual([]);
    expect(allPages({ result: "refused" }, 10).times).toEqual([2]);
    expect(allPages({ action: "key.create" }, 10).times).toEqual([]);
    expect(allPages({ action: "policy.upload", sinceMs: 2, untilMs: 4 }, 10).times).toEqual([3, 2]);
  });

  test("examine a bounded number of entries, and continue behind them", () => {
    add(...Array.from({ length: 100 }, (_, time) => entryAt(time, time === 3 ? refused : {})));
    const first = readAuditPage(store, { result: "refused" }, { size: 10, examinedMax: 20 });
    expect(first.entries).toEqual([]);
    expect(first.next?.timeMs).toBe(80);
    expect(allPages({ result: "refused" }, 10, 20)).toMatchObject({ times: [3] });
  });
});

describe("retention", () => {
  const trim = (entries: number, oldestMs?: number): void => {
    const excess = excessAuditEntries(store, { entries, oldestMs });
    if (excess !== undefined) removeAuditEntries(store, excess);
  };
  const kept = (): number[] => times(auditEntriesAfter(store, 0, 1000, { received: true }).map(({ entry }) => entry));

  test("keeps the newest entries, exactly as many as the limit says", () => {
    add(...[1, 2, 3, 4].map((time) => entryAt(time)));
    trim(4);
    expect(kept()).toEqual([1, 2, 3, 4]);
    trim(3);
    expect(kept()).toEqual([2, 3, 4]);
    trim(1);
    expect(kept()).toEqual([4]);
  });

  test.each(["refused", "failed", "uncertain"] as const)("lets actions that were %s displace no others", (result) => {
    const undone = { result, code: "not_ready" };
    add(...[1, 2, 3].map((time) => entryAt(time)), ...[4, 5, 6, 7, 8].map((time) => entryAt(time, undone)));
    trim(20);
    // A tenth of 20.
    expect(kept()).toEqual([1, 2, 3, 7, 8]);
  });

  test("removes old entries slowly, and never the newest", () => {
    add(...Array.from({ length: 20 }, (_, time) => entryAt(time)));
    trim(100, 10);
    expect(kept()[0]).toBe(2);
    for (let round = 0; round < 20; round++) trim(100, 10);
    expect(kept()).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    for (let round = 0; round < 20; round++) trim(100, 1000);
    expect(kept()).toEqual([19]);
    add(entryAt(21));
    expect(auditEntriesAfter(store, 0, 10, { received: true }).map(({ seq }) => seq)).toEqual([20, 21]);
  });

  test("removes no entry for the age of the one that arrived last", () => {
    add(...[100, 101, 102].map((time) => entryAt(time)), entryAt(1));
    trim(100, 50);
    expect(kept()).toEqual([100, 101, 102, 1]);
    add(entryAt(103));
    trim(100, 50);
    expect(kept()).toEqual([100, 101, 102, 103]);
  });
});

test("an entry that arrives twice is stored once, with what is known of it", () => {
  const entry = { ...entryAt(1), epoch: "0123456789abcdef", offset: 7 };
  add(entry);
  expect(auditEntriesOfEvents(store, 0, 10, { entriesMax: 10, bytesMax: 10_000 })).toEqual([]);
  addAuditEntries(store, [entry, entry], { received: true, hasEvent: true });
  add(entry);
  expect(auditEntriesOfEvents(store, 6, 7, { entriesMax: 10, bytesMax: 10_000 })).toEqual([entry]);
  expect(auditEntriesOfEvents(store, 7, 10, { entriesMax: 10, bytesMax: 10_000 })).toEqual([]);
  expect(auditEntriesOfEvents(store, 6, 7, { entriesMax: 10, bytesMax: 10 })).toEqual([]);
  expect(auditEntriesAfter(store, 0, 10, { received: false })).toEqual([]);
  detachAuditEntries(store, 6);
  expect(auditEntriesOfEvents(store, 0, 10, { entriesMax: 10, bytesMax: 10_000 })).toEqual([]);
  expect(auditEntriesAfter(store, 0, 10, { received: true }).map((stored) => stored.entry)).toEqual([entry]);
});

test("the number before a time", () => {
  expect(auditSeqBefore(store, 0)).toBe(0);
  add(...[10, 20, 30].map((time) => entryAt(time)));
  expect([0, 10, 11, 30, 31].map((time) => auditSeqBefore(store, time))).toEqual([0, 0, 1, 2, 3]);
});

test("the last time, without those of clocks that are ahead", () => {
  expect(lastAuditTime(store, 100)).toBeUndefined();
  add(...[10, 20, 2000].map((time) => entryAt(time)));
  expect([9, 10, 100, 2000].map((nowMs) => lastAuditTime(store, nowMs))).toEqual([undefined, 10, 20, 2000]);
});

test("a copy adds what is missing, and the primary gets it", () => {
  const common = entryAt(1);
  const other = openStore(join(directory, "b.db"));
  const entries = [common, entryAt(2), ...Array.from({ length: 2500 }, () => entryAt(3))];
  other.transaction(() => addAuditEntries(other, entries, { received: true }));
  addAuditEntries(store, [common], { received: true });
  for (let times = 0; times < 2; times++) store.transaction(() => copyAuditEntries(other, store));
  other.close();
  expect(auditEntriesAfter(store, 0, 10_000, { received: true })).toHaveLength(2502);
  expect(auditEntriesAfter(store, 0, 10_000, { received: false })).toHaveLength(2501);
});

test("texts of an entry are cut so that other nodes accept it", () => {
  const long = "ü".repeat(5000);
  const entry = auditEntry(
    {
      actor: { kind: "key", id: long, name: long },
      action: "key.create",
      target: long,
      details: { long },
      requestId: long,
      // The zone of an address has any length.
      address: `fe80::1%${long}`,
      proxy: long,
      via: long,
      traceId: long,
    },
    { node: "primary", timeMs: 1 },
    { code: long },
  );
  expect(auditEntrySchema.parse(JSON.parse(JSON.stringify(entry)))).toEqual(entry);
  expect(entry.target).toHaveLength(1024);
});

test("entries of one millisecond that a process made have ids in their order", () => {
  const draft = { actor: operator(), action: "backup.download" } as const;
  for (const timeMs of [1_700_000_000_000, 0, -1, 1_700_000_000_001]) {
    const ids = Array.from({ length: 1000 }, () => auditEntry(draft, { node: "primary", timeMs }).id);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(1000);
  }
});

test("an entry of another node cannot have a time that is no date, which would spoil each page with it", () => {
  const entry = entryAt(8.64e15);
  expect(auditEntrySchema.safeParse(entry).success).toBe(true);
  expect(auditEntrySchema.safeParse({ ...entry, timeMs: entry.timeMs + 1 }).success).toBe(false);
});
