/**
 * Queries whose results or whose evaluation need much memory: they end with the reason, and their worker process stays
 * within its limit.
 */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { workerNiceness } from "../../src/runtime/worker-process.ts";
import { fact, User, value, withPrimary, type Answer, type Api } from "../http/api.ts";
import { eventually } from "../replication/cluster.ts";
import { workerProcessesOf } from "../runtime/worker-processes.ts";

/** The worker processes have a low priority, so other programs may slow them down. */
const timeoutMs = 600_000;
const MiB = 1024 * 1024;

/** Recursion that no SQL statement can express is evaluated in steps; `knows` alone is a statement. */
const policy = `actor User {} resource Doc { permissions = ["see"]; }
  near(a: User, b: User) if knows(a, b);
  near(a: User, c: User) if far(a, b) and near(b, c);
  far(a: User, c: User) if near(a, b) and far(b, c);
  far(a: User, b: User) if knows(b, a);
  has_permission(u: User, "see", d: Doc) if near(u, other) and vouches(other, d);`;

const crowd = 60;

async function crowded(api: Api, people = crowd): Promise<void> {
  expect((await api.call("POST", "/api/policy", { body: { src: policy } })).status).toBe(200);
  const facts = Array.from({ length: people ** 2 }, (_, index) =>
    fact("knows", User(String(index % people)), User(String(Math.floor(index / people)))),
  );
  facts.push(fact("vouches", User("nobody"), value("Doc", "d")));
  for (let first = 0; first < facts.length; first += 1000)
    expect(
      (await api.call("POST", "/api/batch", { body: [{ inserts: facts.slice(first, first + 1000) }] })).status,
    ).toBe(200);
}

/** `v0` predicate `v1`, `v1` predicate `v2`, and so on. */
function chain(api: Api, predicate: string, calls: number, last = predicate): Promise<Answer> {
  const names = Array.from({ length: calls + 1 }, (_, index) => `v${index}`);
  const all = Array.from({ length: calls }, (_, index) => [
    index === calls - 1 ? last : predicate,
    [names[index], names[index + 1]],
  ]);
  return api.call("POST", "/api/evaluate_query", {
    body: {
      predicate: all[0],
      calls: all.slice(1),
      constraints: Object.fromEntries(names.map((name) => [name, { type: "User", ids: null }])),
      context_facts: [],
    },
  });
}

/** The maximum memory of a worker process during a query, without file caches. */
async function peakDuring<T>(asked: Promise<T>): Promise<{ readonly answer: T; readonly bytes: number }> {
  let bytes = 0;
  const timer = setInterval(() => {
    for (const { pid } of workerProcessesOf(process.pid)) bytes = Math.max(bytes, residentOf(pid));
  }, 20);
  try {
    return { answer: await asked, bytes };
  } finally {
    clearInterval(timer);
  }
}

function residentOf(pid: number): number {
  try {
    return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

test(
  "a chain of 100 calls ends at the limit of values, as a statement and in steps",
  () =>
    withPrimary(
      async (api) => {
        await crowded(api);
        for (const [predicate, last] of [
          ["knows", "knows"],
          ["knows", "near"],
        ] as const) {
          const { answer, bytes } = await peakDuring(chain(api, predicate, 100, last));
          expect({ status: answer.status, text: answer.text }).toEqual({
            status: 400,
            text: expect.stringMatching(/more than \d+ (answers|values)/),
          });
          expect(bytes).toBeLessThan(700 * MiB);
        }
      },
      { "advanced.queryTimeMsMax": "5m" },
    ),
  timeoutMs,
);

test(
  "if other data fill memory, the process ends at its limit with the reason, and the next query gets a new one",
  () =>
    withPrimary(
      async (api) => {
        await crowded(api);
        const { answer, bytes } = await peakDuring(chain(api, "knows", 100, "near"));
        expect({ status: answer.status, json: answer.json }).toEqual({
          status: 400,
          json: {
            message: "answering takes more than 128MiB of memory: ask for less, or for one value",
            code: "query_too_expensive",
          },
        });
        expect(bytes).toBeLessThan(600 * MiB);
        expect((await chain(api, "knows", 1)).status).toBe(200);
      },
      {
        "advanced.queryMemoryBytesMax": "128MiB",
        "advanced.queryValuesMax": "1000000000",
        "advanced.queryTimeMsMax": "5m",
      },
    ),
  timeoutMs,
);

test(
  "a slow process, which has a low priority, answers no further query",
  () =>
    withPrimary(
      async (api) => {
        await crowded(api, 20);
        const before = new Set(workerProcessesOf(process.pid).map(({ pid }) => pid));
        expect((await chain(api, "knows", 2, "near")).status).toBe(200);
        await eventually(() => {
          const started = workerProcessesOf(process.pid).filter(({ pid }) => !before.has(pid));
          expect(started.filter(({ pid }) => getPriority(pid) > workerNiceness)).toEqual([]);
        });
      },
      { "advanced.slowQueryAfterMs": "150ms" },
    ),
  timeoutMs,
);
