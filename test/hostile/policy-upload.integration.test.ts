/**
 * Uploads of policies that need long to check or to become active: they do not delay other requests. The worker process
 * of the check is frozen with a signal, so that the tests do not depend on the speed of the machine.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { defaultLimits } from "../../src/config/limits.ts";
import { activate } from "../../src/policy/active-policy.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Effect } from "../../src/log/event/event.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { must } from "../../src/util/assert.ts";
import { apply, fact, inserted, policy, storeWith } from "../engine/store.ts";
import { apiOf, clientOf, Org, role, User, withPrimary, type Answer, type Api } from "../http/api.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { workerProcessesOf } from "../runtime/worker-processes.ts";

const base = `actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
`;
const renamed = (name: string): string => base.replaceAll('"read"', `"${name}"`);
/** Uses none of the facts of `base`. */
const bare =
  'actor User {}\nresource Org { permissions = ["read"]; }\nhas_permission(u: User, "read", o: Org) if owns(u, o);\n';

const timeoutMs = 60_000;

const upload = (api: Api, src: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  api.call("POST", "/api/policy", { body: { src }, headers });

/**
 * Freezes the worker process that checks uploads, which exists after a first upload. Returns a function that continues
 * it.
 */
async function frozen(): Promise<() => void> {
  const [first, ...others] = workerProcessesOf(process.pid).map(({ pid }) => pid);
  const pid = must(first, "a policy was checked before");
  for (const other of others) process.kill(other, "SIGKILL");
  await eventually(() => expect(workerProcessesOf(process.pid).length).toBe(1));
  // Until the parent notices.
  await Bun.sleep(200);
  process.kill(pid, "SIGSTOP");
  return () => void process.kill(pid, "SIGCONT");
}

async function keyWith(api: Api, keyRole: string): Promise<{ readonly id: string; readonly authorization: string }> {
  const made = await api.call("POST", "/api/keys", { body: { name: keyRole, role: keyRole } });
  const { id, token } = made.json as { readonly id: string; readonly token: string };
  return { id, authorization: `Bearer ${token}` };
}

test(
  "during the check of a policy, writes and queries are answered and keys are revoked",
  () =>
    withPrimary(async (api) => {
      expect((await upload(api, base)).status).toBe(200);
      const thaw = await frozen();
      let isPending = true;
      const pending = upload(api, renamed("look")).finally(() => (isPending = false));
      const client = clientOf(api.url);
      for (const user of ["ann", "bob", "cid"]) {
        const written = await api.call("POST", "/api/batch", { body: [{ inserts: [role(user, "member", Org("o"))] }] });
        expect(written.status).toBe(200);
        expect(await client.authorize(User(user), "read", Org("o"))).toBe(true);
        const { id, authorization } = await keyWith(api, "read");
        expect((await api.call("DELETE", `/api/keys/${id}`)).status).toBe(200);
        expect((await api.call("GET", "/api/policy", { headers: { authorization } })).status).toBe(401);
      }
      expect(isPending).toBe(true);
      thaw();
      expect(await pending).toMatchObject({ status: 200, json: { message: "policy loaded" } });
      expect(await client.authorize(User("ann"), "look", Org("o"))).toBe(true);
    }),
  timeoutMs,
);

test(
  "a policy that became active during a check is replaced, and the warnings about unused facts compare with that one",
  () =>
    withPrimary(
      async (api) => {
        expect((await upload(api, base)).status).toBe(200);
        await api.call("POST", "/api/batch", { body: [{ inserts: [role("ann", "member", Org("o"))] }] });
        const other = await keyWith(api, "write");
        const thaw = await frozen();
        // The existing process is frozen; the next key gets its own process.
        const first = upload(api, bare);
        expect(await upload(api, renamed("look"), other)).toMatchObject({ status: 200 });
        expect((await api.call("GET", "/api/policy")).json).toMatchObject({ policy: { src: renamed("look") } });
        thaw();
        const answer = await first;
        expect(answer).toMatchObject({ status: 200 });
        expect(answer.text).toContain("no longer uses stored facts: 1 `has_role(User, String, Org)`");
        expect((await api.call("GET", "/api/policy")).json).toMatchObject({ policy: { src: bare } });
      },
      { "advanced.policyChecksAtWorkMax": "3" },
    ),
  timeoutMs,
);

test(
  "an upload that is repeated during its check is executed once",
  () =>
    withPrimary(async (api) => {
      expect((await upload(api, base)).status).toBe(200);
      const before = must(api.node.health().offset);
      const thaw = await frozen();
      const named = { "x-request-id": "the-same" };
      const both = [upload(api, bare, named), upload(api, bare, named)];
      await Bun.sleep(50);
      thaw();
      const [one, two] = await Promise.all(both);
      expect([one?.status, two?.text, two?.headers.get("OsoOffset")]).toEqual([
        200,
        must(one).text,
        must(one).headers.get("OsoOffset"),
      ]);
      expect(api.node.health().offset).toBe(before + 1);
      // An upload without a check does not wait.
      const thawAgain = await frozen();
      expect(await upload(api, bare, named)).toMatchObject({ status: 200, text: must(one).text });
      expect(await upload(api, bare)).toMatchObject({ status: 202, json: { message: "policy unchanged" } });
      thawAgain();
    }),
  timeoutMs,
);

test(
  "a check has limits of time and memory, and leaves nothing",
  () =>
    withPrimary(
      async (api) => {
        expect((await upload(api, base)).status).toBe(200);
        await frozen();
        const late = await upload(api, bare);
        expect([late.status, late.json]).toMatchObject([
          400,
          { message: "checking the policy takes longer than 1000 ms" },
        ]);
        await eventually(() => expect(workerProcessesOf(process.pid)).toEqual([]));
      },
      { "advanced.policyCheckTimeMsMax": "1s" },
    ).then(() =>
      withPrimary(
        async (api) => {
          const large = await upload(api, lists(28));
          expect([large.status, large.json]).toMatchObject([
            400,
            { message: "checking the policy takes more than 32MiB of memory" },
          ]);
          expect((await upload(api, base)).status).toBe(200);
        },
        { "advanced.policyCheckMemoryBytesMax": "32MiB", "advanced.policyConditionsMax": "1000000" },
      ),
    ),
  timeoutMs,
);

test(
  "a check that gets too little of a busy machine says so, and the client may try again",
  () =>
    withPrimary(
      async (api) => {
        expect((await upload(api, base)).status).toBe(200);
        const others = Array.from({ length: 8 * availableParallelism() }, () =>
          Bun.spawn(["sh", "-c", "while :; do :; done"]),
        );
        try {
          const late = await upload(api, lists(28));
          const message = "this machine is too busy to check the policy in time, try again";
          expect([late.status, late.json]).toMatchObject([503, { message }]);
          expect(late.headers.get("retry-after")).not.toBeNull();
        } finally {
          for (const other of others) other.kill("SIGKILL");
        }
        // Other programs may keep the machine busy.
        await eventually(async () => expect((await upload(api, bare)).status).toBe(200));
      },
      { "advanced.policyCheckTimeMsMax": "2s", "advanced.policyConditionsMax": "1000000" },
    ),
  timeoutMs,
);

test(
  "tests that take too long are named, up to a readable number",
  () =>
    withPrimary(
      async (api) => {
        const many = Array.from(
          { length: 1000 },
          (_, index) => `test "${index}" { assert allow(User{"a"}, "b", Org{"c"}); }`,
        );
        let refused = await upload(api, base + many.join("\n"));
        // A busy machine does not get that far in time.
        while (refused.status === 503) refused = await upload(api, base + many.join("\n"));
        const { error_type, message, test_results, diagnostics } = refused.json as {
          readonly error_type: string;
          readonly message: string;
          readonly test_results: { readonly success: boolean; readonly errors: readonly unknown[] };
          readonly diagnostics: readonly unknown[];
        };
        expect([refused.status, error_type, test_results.success]).toEqual([400, "TestsFailed", false]);
        expect([test_results.errors.length, diagnostics.length]).toEqual([100, 100]);
        expect(message).toContain("and 900 more");
      },
      { "advanced.policyCheckTimeMsMax": "10s" },
    ),
  timeoutMs,
);

test(
  "one key cannot prevent others from uploading",
  () =>
    withPrimary(
      async (api) => {
        expect((await upload(api, base)).status).toBe(200);
        const greedy = await keyWith(api, "write");
        const thaw = await frozen();
        const uploads = Array.from({ length: 6 }, (_, index) => upload(api, renamed(`greedy${index}`), greedy));
        await eventually(() => expect(answered(uploads)).resolves.toBe(4));
        expect(await upload(api, renamed("other"))).toMatchObject({ status: 200 });
        thaw();
        const answers = await Promise.all(uploads);
        const refused = answers.filter(({ status }) => status === 429);
        expect(refused.map(({ headers, text }) => [headers.get("retry-after"), text])).toEqual(
          Array.from({ length: 4 }, () => [
            "1",
            '{"message":"too many checks of policies: this API key holds 2 of 4 slots, the 2 free ones are reserved for other keys, try again later","code":"too_many_requests"}',
          ]),
        );
        expect(answers.filter(({ status }) => status === 200).length).toBe(2);
      },
      { "advanced.policyChecksWaitingMax": "4" },
    ),
  timeoutMs,
);

test(
  "an edge waits for the check of a policy longer than for other writes",
  () =>
    withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        const api = apiOf(primary);
        expect((await upload(api, base)).status).toBe(200);
        const edge = apiOf(await cluster.edge("edge", primary));
        await eventually(() => expect(edge.node.health().ok).toBe(true));
        const thaw = await frozen();
        const pending = upload(edge, bare);
        await Bun.sleep(1500);
        thaw();
        expect(await pending).toMatchObject({ status: 200 });
        expect((await edge.call("GET", "/api/policy")).json).toMatchObject({ policy: { src: bare } });
      },
      { "advanced.forwardTimeoutMs": "1s" },
    ),
  timeoutMs,
);

test("accepted policies become active in linear time, also those of earlier versions", () => {
  const source = lists(15);
  const active = activate(source, null);
  expect(active.program.rules.length).toBe(60_000);
  const store = storeWith();
  const before = process.cpuUsage();
  apply(store, policy(source));
  const { user } = process.cpuUsage(before);
  // A bound, not a measurement: quadratic work takes more than four times as long.
  expect(user / 1000).toBeLessThan(2500);
});

test("the closures of an activated policy, and of a batch, have a time limit", () => {
  const folders = `actor User {}
    resource Folder { roles = ["r"]; permissions = ["see"]; relations = { parent: Folder }; "see" if "r"; }`;
  const nested = folders.replace('"see" if', '"r" if "r" on "parent"; "see" if');
  const depth = 400;
  const chain = Array.from({ length: depth }, (_, index) =>
    fact("has_relation", `Folder:${index}`, "String:parent", `Folder:${index + 1}`),
  );
  const facts = inserted(...chain, fact("has_role", "User:ann", "String:r", `Folder:${depth}`));
  const declared = `${folders}\ndeclare has_relation(Folder, String, Folder);`;
  const maySee = (store: Connection): boolean =>
    new Engine(store).authorize({
      actor: { type: "User", id: "ann" },
      action: "see",
      resource: { type: "Folder", id: "0" },
      contextFacts: [],
    });
  const applyWithin = (store: Connection, closureTimeMsMax: number, effect: Effect): void => {
    const limits = { ...defaultLimits, closureTimeMsMax };
    store.transaction(() => applyEvent(store, { offset: 9, timeMs: 1, traceparent: null, effect }, limits));
  };
  const rows = (depth * (depth + 1)) / 2;

  const store = storeWith(policy(declared), facts);
  applyWithin(store, 1, policy(nested, 2));
  expect(closureTables(store)).toMatchObject([{ isMaterialized: false, rows: 0 }]);
  expect(maySee(store)).toBe(true);
  applyWithin(store, 60_000, policy(`${nested} `, 3));
  expect(closureTables(store)).toMatchObject([{ isMaterialized: true, rows }]);
  expect(maySee(store)).toBe(true);

  const batched = storeWith(policy(nested));
  applyWithin(batched, 1, facts);
  expect(closureTables(batched)).toMatchObject([{ isMaterialized: false, rows: 0 }]);
  expect(maySee(batched)).toBe(true);
});

test("the work for a policy is bounded before it becomes active", () =>
  withPrimary(async (api) => {
    const refused = await upload(api, lists(28));
    expect(refused).toMatchObject({ status: 400, json: { error_type: "Validation" } });
    expect(refused.text).toContain("rule/too-many-alternatives");
  }));

/** `count` rules with 4,000 alternatives each, for all resources and actions. */
function lists(count: number): string {
  const names = Array.from({ length: 4000 }, (_, index) => `"${index.toString(36)}"`).join(",");
  const rules = Array.from(
    { length: count },
    (_, index) => `allow(u: User, action: String, o: Org) if has_relation(o, "r${index}", u) and action in [${names}];`,
  );
  return `actor User {}\nresource Org {}\n${rules.join("\n")}`;
}

async function answered(promises: readonly Promise<unknown>[]): Promise<number> {
  const pending = Symbol("pending");
  const states = await Promise.all(promises.map((promise) => Promise.race([promise, pending])));
  return states.filter((state) => state !== pending).length;
}
