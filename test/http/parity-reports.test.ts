/** Parity reports in the file of the decision log, and the recent decisions in memory that they are matched with. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import type { Decision } from "../../src/decisions/decision-entry.ts";
import { DecisionStore } from "../../src/decisions/decision-store.ts";
import type { ParityPosition } from "../../src/decisions/parity-reports.ts";
import { RecentDecisions } from "../../src/decisions/recent-decisions.ts";
import { Redaction } from "../../src/decisions/redaction.ts";
import { withDirectory } from "../replication/cluster.ts";
import { decisionOf } from "./logged-decision.ts";

const question = { actor_type: "User", actor_id: "bob", action: "delete", resource_type: "Org", resource_id: "acme" };

/** The file of a decision log, and a function that adds a decision and what was expected of it. */
async function withStore(body: (store: DecisionStore, add: AddReport) => void): Promise<void> {
  await withDirectory(async (directory) => {
    const redaction = new Redaction({ omit: [], hash: [], hashKey: new Uint8Array(1) });
    const store = DecisionStore.open(join(directory, "decisions.db"), redaction, () => {});
    try {
      body(store, (keyId, requestId, expected, isKnown = true) => {
        const decisions = isKnown ? [{ ...decisionOf(keyId, requestId, true, "{}"), isSelected: true, number: 0 }] : [];
        store.append(decisions, 0, [
          { keyId, requestId, expected, timeMs: 1, ...(isKnown ? { allowed: true, decidedMs: 0 } : unknown) },
        ]);
      });
    } finally {
      store.close();
    }
  });
}

const unknown = { allowed: null, decidedMs: null };

type AddReport = (keyId: string, requestId: string, expected: boolean, isKnown?: boolean) => void;

const page = { limit: 10_000, bytesMax: 1e9, oldestMs: 0 };

describe("API keys", () => {
  test("cannot displace the reports of another key, and matches go before mismatches", () =>
    withStore((store, add) => {
      for (const id of ["1", "2"]) add("quiet", id, id === "2");
      add("loud", "mismatch", false);
      for (let index = 0; index < 100; index++) {
        add("loud", `${index}`, true);
        add("loud", `unknown ${index}`, true, false);
        store.parity.limit(30);
      }
      expect(store.parity.counts("quiet")).toEqual({ mismatch: 1, pending: 0, match: 1 });
      const { mismatch, pending, match } = store.parity.counts("loud");
      expect([mismatch, pending + match]).toEqual([1, 27]);
      for (let index = 0; index < 100; index++) {
        add("loud", `m ${index}`, false);
        store.parity.limit(30);
      }
      const ids = store.parity.page("loud", undefined, page).reports.map(({ requestId }) => requestId);
      expect(ids.slice(0, 3)).toEqual(["m 99", "m 98", "m 97"]);
      expect(store.parity.counts("quiet")).toEqual({ mismatch: 1, pending: 0, match: 1 });
    }));

  test("do not lose the decisions of their reports because of other decisions", () =>
    withStore((store, add) => {
      add("quiet", "1", false);
      const flood = Array.from({ length: 20_000 }, (_, index) => decisionOf("loud", `${index}`, true, "{}"));
      store.append(
        flood.map((each) => ({ ...each, isSelected: true, number: 0 })),
        0,
      );
      while (store.removeExcess(100_000));
      expect(store.counts().written).toBeWithin(1, 10_000);
      expect(store.parity.page("quiet", undefined, page).reports).toMatchObject([
        { result: "mismatch", decision: { request_id: "1", id: `${store.name}-1` } },
      ]);
    }));
});

describe("a report in the file", () => {
  const known = (requestId: string, timeMs: number, allowed = true) => ({
    ...decisionOf("key", requestId, allowed, "{}"),
    timeMs,
    isSelected: true,
    number: 0,
  });
  const expectation = (requestId: string, decidedMs: number | null, allowed = true) => ({
    ...{ keyId: "key", requestId, expected: true, timeMs: 1 },
    ...{ allowed: decidedMs === null ? null : allowed, decidedMs },
  });
  const found = (store: DecisionStore) =>
    store.parity.page(undefined, undefined, page).reports.map(({ requestId, allowed, decision }) => ({
      ...{ requestId, allowed, id: decision?.id.split("-")[1] },
    }));

  test("has the decision of its time, whatever the clock did between", () =>
    withStore((store) => {
      for (let index = 0; index < 2000; index++) store.append([known(`${index % 500}`, 1000 + (index % 700))], 0);
      const times = Array.from({ length: 500 }, (_, request) => request);
      store.append(
        [],
        0,
        times.map((request) => expectation(`${request}`, 1000 + ((1500 + request) % 700))),
      );
      expect(found(store)).toEqual(
        times.toReversed().map((request) => ({ requestId: `${request}`, allowed: true, id: `${1501 + request}` })),
      );
    }));

  test("has no decision that was dropped, and none with another result than its own", () =>
    withStore((store) => {
      store.append([known("1", 10)], 0, [expectation("1", 10)]);
      store.append([known("2", 11)], 5, [expectation("1", 12, false), expectation("2", 11), expectation("3", 11)]);
      store.append([], 0, [expectation("2", null)]);
      expect(found(store)).toEqual([
        { requestId: "1", allowed: false, id: undefined },
        { requestId: "2", allowed: true, id: "7" },
        { requestId: "3", allowed: true, id: undefined },
      ]);
    }));

  test("has any text as its request id", () =>
    withStore((store) => {
      const ids = ["a\0b", "\u0001", "\u{1f600}", "0AF76519-16cd-43dd-8448-eb211c80319c"];
      store.append(
        [],
        0,
        ids.map((id) => expectation(id, null)),
      );
      expect(found(store).map(({ requestId }) => requestId)).toEqual(ids.toReversed());
    }));
});

test("pages of the reports of all keys merge those of each key", () =>
  withStore((store, add) => {
    for (let index = 0; index < 300; index++) add(`key ${index % 7}`, `${index}`, index % 3 === 1, index % 3 > 0);
    const whole = store.parity.page(undefined, undefined, page).reports.map(({ requestId }) => requestId);
    const expected = { mismatch: 2, pending: 0, match: 1 };
    const ids = (["mismatch", "pending", "match"] as const).flatMap((result) =>
      Array.from({ length: 100 }, (_, index) => String(297 - 3 * index + expected[result])),
    );
    expect(whole).toEqual(ids);
    const inPages: string[] = [];
    for (let after: ParityPosition | undefined; ;) {
      const { reports, next } = store.parity.page(undefined, after, { ...page, limit: 37 });
      inPages.push(...reports.map(({ requestId }) => requestId));
      if (next === undefined) break;
      after = next;
    }
    expect(inPages).toEqual(ids);
  }));

describe("recent decisions", () => {
  const kept = (recent: RecentDecisions, keyId: string, requestId: string): Decision | undefined => {
    const { isSelected = false, number = 0, ...found } = recent.find(keyId, requestId) ?? {};
    expect([isSelected, number]).toEqual([false, 0]);
    return "kind" in found ? (found as Decision) : undefined;
  };

  test("are found by key and request id, the latest ones only", () => {
    const recent = new RecentDecisions(200_000);
    for (let index = 0; index < 5000; index++) {
      recent.add(decisionOf("key", `${index}`), false);
      // Lookups complete the index, at different times.
      if (index % 97 === 0) expect(recent.find("key", `${index}`)?.requestId).toBe(`${index}`);
    }
    const found = Array.from({ length: 5000 }, (_, index) => kept(recent, "key", `${index}`)).filter(Boolean);
    expect(found.length).toBeWithin(500, 1500);
    expect(found).toEqual(Array.from(found, (_, index) => decisionOf("key", `${5000 - found.length + index}`)));
    expect(recent.find("other", "4999")).toBeUndefined();
    recent.add(decisionOf("key", "4999", false), false);
    expect(recent.find("key", "4999")?.allowed).toBe(false);
  });

  test("a repeated request id is that of the later decision, also after the first one is gone", () => {
    const recent = new RecentDecisions(5000);
    recent.add(decisionOf("key", "same", true), false);
    for (let index = 0; index < 8; index++) recent.add(decisionOf("key", `${index}`), false);
    expect(recent.find("key", "same")?.allowed).toBe(true);
    recent.add(decisionOf("key", "same", false), false);
    expect(recent.find("key", "same")?.allowed).toBe(false);
    for (let index = 0; index < 8; index++) recent.add(decisionOf("key", `${index}`), false);
    expect(recent.find("key", "same")?.allowed).toBe(false);
    for (let index = 0; index < 40; index++) recent.add(decisionOf("key", `${index}`), false);
    expect(recent.find("key", "same")).toBeUndefined();
  });

  test("all strings and numbers come back", () => {
    const recent = new RecentDecisions(4000);
    const given: Decision = {
      ...decisionOf("\u00e4", "\u{1f600} x", false, '{"\u00fc": "\u20ac"}'),
      traceId: "0123456789abcdef0123456789abcdef",
      timeMs: 1_795_000_000_123.5,
      durationUs: 4_000_000_000,
    };
    recent.add(given, false);
    recent.add(decisionOf("", "", true, ""), false);
    expect(kept(recent, "\u00e4", "\u{1f600} x")).toEqual(given);
    expect(kept(recent, "", "")).toEqual(decisionOf("", "", true, ""));
  });

  test("a decision larger than the limit is not kept", () => {
    const recent = new RecentDecisions(100);
    expect(recent.add(decisionOf("key", "1"), false)).toBe(false);
    expect(recent.find("key", "1")).toBeUndefined();
  });
});

test("the defaults keep many thousand decisions", () => {
  const recent = new RecentDecisions(defaultLimits.recentDecisionsBytesMax);
  const text = JSON.stringify(question);
  for (let index = 0; index < 13_000; index++) recent.add(decisionOf("key", `${index}`, true, text), false);
  for (let index = 5000; index < 13_000; index++) expect(recent.find("key", `${index}`)).toBeDefined();
});
