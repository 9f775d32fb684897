/** The throw-away environments of `ostiary dev`: a policy, facts and a key of their own, while the node runs. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { developmentEnvironment, developmentKey } from "../../src/config/config.ts";
import { startDev } from "../../src/dev/dev.ts";
import { DevEnvironments } from "../../src/dev/test-environments.ts";
import { adminKey, unset, withCluster } from "../replication/cluster.ts";
import { clientOf, Org, Repo, User, wildcardPolicy, withPrimary } from "./api.ts";

setDefaultTimeout(60_000);

interface Dev {
  readonly url: string;
  /** The directory of the environments. */
  readonly folder: string;
  /** Creates an environment and returns its key. */
  create(query?: string): Promise<string>;
}

/** Runs `ostiary dev` with the policy, and stops it after `body`. */
async function withDev(src: string, body: (dev: Dev) => Promise<void>): Promise<void> {
  await withCluster(async (cluster) => {
    const flags = { environment: developmentEnvironment, adminKey: unset, nodeKey: unset };
    const config = { ...cluster.config("primary", "dev", flags), adminKey: developmentKey };
    const folder = join(config.data, "test-environments");
    // What a killed process has left.
    mkdirSync(join(folder, "old"), { recursive: true });
    writeFileSync(join(folder, "old", "store-1.db"), "");
    const node = await startDev(config, [{ name: "policy.polar", text: src }]);
    try {
      expect(existsSync(folder)).toBe(false);
      await body({ url: node.url, folder, create: (query = "") => create(node.url, query) });
    } finally {
      await node.stop();
    }
    expect(existsSync(folder)).toBe(false);
  });
}

async function create(url: string, query: string): Promise<string> {
  const response = await fetch(`${url}/test_environment${query}`, { method: "POST" });
  const body = (await response.json()) as { token: string };
  expect([response.status, body]).toEqual([
    200,
    { token: expect.stringMatching(/^e_testenv[0-9a-f]{16}_12345_[0-9a-f]{32}$/) },
  ]);
  expect(response.headers.get("x-request-id")).toMatch(/./);
  return body.token;
}

const alice = ["has_role", User("alice"), "member", Org("acme")] as const;

async function statusOf(url: string, method: string, path: string, key?: string): Promise<number> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return (await fetch(url + path, { method, headers })).status;
}

test("an environment starts empty, and shares nothing with the default one or another one", () =>
  withDev(wildcardPolicy, async ({ url, create }) => {
    const [one, other] = await Promise.all([create(), create("?copy=false")]);
    expect(one).not.toBe(other);
    const [first, second, original] = [one, other, developmentKey].map((key) => clientOf(url, key));
    await expect(first?.getPolicyMetadata()).rejects.toThrow("no policy was loaded yet");
    await first?.policy(wildcardPolicy);
    await first?.insert([...alice]);
    expect(await first?.authorize(User("alice"), "read", Org("acme"))).toBe(true);
    expect(await first?.get(["has_role", null, null, null])).toHaveLength(1);
    expect(await original?.get(["has_role", null, null, null])).toEqual([]);
    expect(await second?.get(["has_role", null, null, null])).toEqual([]);
    await original?.insert(["has_role", User("bob"), "admin", Org("acme")]);
    expect(await first?.authorize(User("bob"), "delete", Org("acme"))).toBe(false);
  }));

test(
  "a copy starts with the policy and the facts of the default environment, and goes its own way",
  () =>
    withDev(wildcardPolicy, async ({ url, create }) => {
      const original = clientOf(url, developmentKey);
      await original.insert([...alice]);
      const ci = await fetch(`${url}/api/keys`, {
        method: "POST",
        headers: { authorization: `Bearer ${developmentKey}` },
        body: JSON.stringify({ name: "ci", role: "admin" }),
      });
      const { token: ciKey } = (await ci.json()) as { token: string };
      const key = await create("?copy=true");
      const copy = clientOf(url, key);
      expect(await copy.get(["has_role", null, null, null])).toHaveLength(1);
      await copy.insert(["has_role", User("bob"), "admin", Repo("anvil")]);
      await copy.delete(["has_role", User("alice"), null, null]);
      expect(await copy.authorize(User("bob"), "write", Repo("anvil"))).toBe(true);
      expect(await original.get(["has_role", null, null, null])).toHaveLength(1);
      const response = await fetch(`${url}/api/keys`, { headers: { authorization: `Bearer ${key}` } });
      expect(await response.json()).toEqual({ keys: [expect.objectContaining({ id: "12345", role: "admin" })] });
      const made = await fetch(`${url}/api/keys`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify({ name: "of the copy", role: "read" }),
      });
      const { token: keyOfCopy } = (await made.json()) as { token: string };
      expect(await clientOf(url, keyOfCopy).authorize(User("bob"), "write", Repo("anvil"))).toBe(true);
      expect(await statusOf(url, "GET", "/api/policy", ciKey)).toBe(200);
    }),
  60_000,
);

test("only its own key opens an environment, and it opens no other", () =>
  withDev(wildcardPolicy, async ({ url, create }) => {
    const key = await create();
    expect(await statusOf(url, "GET", "/api/policy", key)).toBe(200);
    const wrong = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
    expect(await statusOf(url, "GET", "/api/policy", wrong)).toBe(401);
    const unknown = key.replace(/testenv[0-9a-f]{16}/, "testenv0123456789abcdef");
    expect(await statusOf(url, "GET", "/api/policy", unknown)).toBe(401);
    const ofOriginal = developmentKey.replace(developmentEnvironment, key.split("_")[1] ?? "");
    expect(await statusOf(url, "GET", "/api/policy", ofOriginal)).toBe(401);
    expect(await statusOf(url, "GET", "/test_environment")).toBe(405);
    expect(await statusOf(url, "POST", "/test_environment?copy=maybe")).toBe(400);
    expect(await statusOf(url, "POST", "/test_environment", key)).toBe(200);
  }));

test(
  "of more environments than twenty, the one that was not used for the longest time is deleted",
  () =>
    withDev("actor User {}", async ({ url, folder, create }) => {
      const keys: string[] = [];
      for (let index = 0; index < 20; index++) keys.push(await create());
      const status = (key: string) => statusOf(url, "GET", "/api/policy", key);
      expect(await status(keys[0] ?? "")).toBe(200);
      const more = await create();
      expect(await Promise.all([keys[0] ?? "", keys[1] ?? "", keys[2] ?? "", more].map(status))).toEqual([
        200, 401, 200, 200,
      ]);
      expect(readdirSync(folder)).toHaveLength(20);
    }),
  60_000,
);

test("only so many requests wait for an environment, and none when the node stops", () =>
  withCluster(async (cluster) => {
    const { node } = await cluster.primary();
    const config = { ...cluster.config("primary", "primary", { adminKey }), adminKey: developmentKey };
    const environments = new DevEnvironments(config, node);
    const created = Array.from({ length: 25 }, () => environments.create(false));
    const settled = Promise.allSettled(created);
    await created[0];
    await environments.close();
    const reasons = (await settled).map((each) => (each.status === "rejected" ? String(each.reason) : "created"));
    expect(reasons[0]).toBe("created");
    const refusal = expect.stringContaining("20 requests wait for a test environment already, try again");
    expect(reasons.slice(20)).toEqual(Array.from({ length: 5 }, () => refusal));
    expect(reasons[19]).toContain("the node stops");
    expect(existsSync(join(config.data, "test-environments"))).toBe(false);
  }));

test("no other node has the route", () =>
  withPrimary(async (api) => expect((await api.call("POST", "/test_environment")).status).toBe(404)));
