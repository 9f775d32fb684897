/** What the screen Decisions decides without a browser: conditions, links, the bounds of the live log, and the export. */
import { describe, expect, test } from "bun:test";
import { exportLog } from "../../src/console/ui/decisions/export.ts";
import {
  decisionKinds,
  FilterError,
  filtersIn,
  parametersOf,
  withoutTimes,
} from "../../src/console/ui/decisions/filters.ts";
import {
  questionToAsk,
  factText,
  type LoggedDecision,
  questionText,
} from "../../src/console/ui/decisions/logged-decision.ts";
import {
  addToTail,
  TailBudget,
  tailRowsMax,
  tailWindowMax,
  tailWindowMs,
} from "../../src/console/ui/decisions/tail.ts";
import { decisionKinds as kindsOfNode } from "../../src/decisions/decision-entry.ts";
import { admin, withPrimary } from "../http/api.ts";

const decision: LoggedDecision = {
  ...{
    id: "1f0c9ab2-7",
    time: "2026-11-26T07:00:00.000Z",
    kind: "authorize",
    result: "deny",
    count: null,
    digest: null,
  },
  ...{ actor: { type: "User", id: "ann" }, action: "read", resource: { type: "Repository", id: "a/b c" } },
  ...{ context_facts: [], question: null, clock: 1, epoch: "0123456789abcdef", offset: 7, policy: 1, cached: false },
  ...{ duration_us: 120, key: "k", request_id: "r", trace_id: null, redacted: [], dropped_before: 0 },
};

describe("conditions", () => {
  test("of an address become parameters of the API; empty and unknown ones are none", () => {
    const filters = filtersIn(new URLSearchParams("result=deny&actor=User:ann:b&resource=Org&action=&x=1&limit=5"));
    expect(filters).toEqual({ result: "deny", actor: "User:ann:b", resource: "Org" });
    expect(Object.fromEntries(parametersOf(filters, 0))).toEqual({
      ...{ result: "deny", actor_type: "User", actor_id: "ann:b", resource_type: "Org" },
    });
    expect(Object.fromEntries(parametersOf({ actor: "a::B:*", since: "-15m" }, 900_000))).toEqual({
      ...{ actor_type: "a::B", actor_id: "*", since: "1970-01-01T00:00:00.000Z" },
    });
    expect(withoutTimes({ since: "a", until: "b", key: "c" })).toEqual({ key: "c" });
    expect(decisionKinds).toEqual([...kindsOfNode]);
  });

  test.each([":ann", "User:", "a b", "User{ann}", "1"])("name the field of an object that is none: %s", (text) => {
    expect(() => parametersOf({ resource: text }, 0)).toThrow(FilterError);
  });
});

test("a query is its calls, and a link that asks again if the form can have it", () => {
  const query = {
    calls: [{ predicate: "allow", variables: ["who", "action", "what"] }],
    variables: [
      ["who", { type: "User", ids: null }],
      ["action", { type: "String", ids: ["read"] }],
      ["what", { type: "Repository", ids: ["a b"] }],
    ],
  };
  const asked = { ...decision, actor: null, action: null, resource: null, kind: "evaluate_query" as const };
  const calls = 'allow(who: User, "read", Repository:"a b")';
  expect(questionText({ ...asked, question: query })).toBe(calls);
  expect(questionToAsk({ ...asked, question: query })).toEqual({ form: "query", query: { calls } });
  const several = { ...query, variables: [["who", { type: "User", ids: ["a", "b"] }], ...query.variables.slice(1)] };
  expect(questionText({ ...asked, question: several })).toBe(calls.replace("who: User", "who in [User:a, User:b]"));
  expect(questionToAsk({ ...asked, question: several })).toBeUndefined();
  // What the log leaves out or hashes.
  const redacted = (variable: object) =>
    questionText({ ...asked, question: { ...query, variables: [["who", variable], ...query.variables.slice(1)] } });
  expect(redacted({ type: "User" })).toBe(calls.replace("who: User", "User:_"));
  expect(redacted({ type: "User", hashes: ["00ff"] })).toBe(calls.replace("who: User", "User:#00ff"));
  expect(redacted({ type: "User", hashes: ["00ff", "11"] })).toBe(
    calls.replace("who: User", "who in [User:#00ff, User:#11]"),
  );
  const fact = { predicate: "has_role", args: [{ type: "User", id: null }, null] };
  expect(questionText({ ...asked, kind: "query", question: { fact } })).toBe("has_role(User:_, _)");
  const hashed = { ...fact, args: [{ type: "User", hash: "00ff" }] };
  expect(questionText({ ...asked, kind: "query", question: { fact: hashed } })).toBe("has_role(User:#00ff)");
  const resources = ["a", "b", "c", "d", "e"].map((id) => ({ type: "Repository", id }));
  const listed = { ...decision, kind: "authorize_resources" as const, resource: null, question: { resources } };
  expect(questionText(listed)).toBe(
    "authorize_resources User:ann read Repository:a, Repository:b, Repository:c, … and 2 more",
  );
});

describe("a decision", () => {
  test("is a text, and a link that asks again", () => {
    expect(questionText(decision)).toBe("User:ann read Repository:a/b c");
    const query = { actor: "User:ann", action: "read", resource: "Repository:a/b c" };
    expect(questionToAsk(decision)).toEqual({ form: "authorize", query });
    const fact = {
      predicate: "has_role",
      args: [
        { type: "User", id: "ann" },
        { type: "String", id: "x" },
      ],
    };
    const withContext = questionToAsk({ ...decision, context_facts: [fact] });
    expect(withContext).toEqual({ form: "authorize", query: { ...query, context: JSON.stringify([fact]) } });
    expect(factText(fact)).toBe("has_role(User:ann, String:x)");
    expect(questionToAsk({ ...decision, kind: "list", result: null, resource: { type: "Repository" } })).toEqual({
      form: "list",
      query: { actor: "User:ann", action: "read", type: "Repository" },
    });
    expect(questionToAsk({ ...decision, kind: "list_actors", result: null, actor: { type: "User" } })).toEqual({
      form: "who",
      query: { type: "User", action: "read", resource: "Repository:a/b c" },
    });
    expect(questionToAsk({ ...decision, kind: "actions", action: null, actor: { type: "User", id: '"a"' } })).toEqual({
      form: "actions",
      query: { actor: String.raw`User:"\"a\""`, resource: "Repository:a/b c" },
    });
  });

  test("whose question is not in the log as a whole has no link", () => {
    const hashed = { ...decision, actor: { type: "User", hash: "00ff" }, redacted: ["actor"] };
    expect([questionText(hashed), questionToAsk(hashed)]).toEqual(["User:#00ff read Repository:a/b c", undefined]);
    expect(questionToAsk({ ...decision, redacted: ["context"] })).toBeUndefined();
    expect(questionToAsk({ ...decision, kind: "list", actor: null })).toBeUndefined();
    // What does not belong to the question may be missing.
    expect(questionToAsk({ ...decision, redacted: ["key", "trace", "request"] })).toBeDefined();
  });
});

describe("the live log", () => {
  const numbered = (number: number): LoggedDecision => ({ ...decision, id: String(number) });

  test("shows the newest first, says where decisions were skipped, and forgets old ones", () => {
    const first = addToTail([], [numbered(1), numbered(2)], false);
    const rows = addToTail(first, [numbered(8), numbered(9)], true);
    expect(rows.map(({ decision: { id } }) => id)).toEqual(["9", "8", "2", "1"]);
    expect(rows.map(({ isAfterGap }) => isAfterGap)).toEqual([false, true, false, false]);
    expect(addToTail(rows, [], true)).toBe(rows);
    const many = Array.from({ length: tailRowsMax + 5 }, (_, index) => numbered(index));
    const bounded = addToTail(rows, many, false);
    expect([bounded.length, bounded[0]?.decision.id]).toEqual([tailRowsMax, String(tailRowsMax + 4)]);
  });

  test("reads only so many in each window", () => {
    const budget = new TailBudget();
    for (let count = 0; count < tailWindowMax; count++) expect(budget.take(1000 + count / 10).waitMs).toBe(0);
    expect(budget.take(1400).waitMs).toBe(tailWindowMs - 400);
    expect(budget.take(1000 + tailWindowMs).waitMs).toBe(0);
  });
});

test("the export has all pages of a real log, oldest first, and says if it was cut", () =>
  withPrimary(
    async ({ url, call }) => {
      const count = 25;
      for (let number = 0; number < count; number++) {
        const question = { actor_type: "User", actor_id: `u${number}`, action: "read" };
        await call("POST", "/api/authorize", { body: { ...question, resource_type: "Org", resource_id: "x" } });
      }
      for (;;) {
        const { json } = await call("GET", "/api/decisions?limit=1");
        if (((json as { decisions: LoggedDecision[] }).decisions[0]?.actor?.id ?? "") === `u${count - 1}`) break;
      }
      const open = (parameters: URLSearchParams): Promise<Response> =>
        fetch(`${url}/api/decisions?${parameters}`, { headers: { ...admin, Accept: "application/x-ndjson" } });
      const progress: number[] = [];
      const actors = async (file: Blob): Promise<unknown[]> =>
        (await file.text())
          .trimEnd()
          .split("\n")
          .map((line) => (JSON.parse(line) as LoggedDecision).actor?.id);
      const all = await exportLog(open, new URLSearchParams(), ({ decisions }) => progress.push(decisions));
      expect([all.decisions, all.isCut, progress.at(-1)]).toEqual([count, false, count]);
      expect(await actors(all.file)).toEqual(Array.from({ length: count }, (_, number) => `u${number}`));
      const cut = await exportLog(open, new URLSearchParams(), () => {}, 10);
      expect([cut.decisions, cut.isCut, (await actors(cut.file)).length]).toEqual([10, true, 10]);
    },
    { "decisions.log": "all" },
  ));
