/**
 * A real primary in this process with its API on a socket: the writer's thread, the log, SQLite and the routes are
 * those of production.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { Oso } from "oso-cloud";
import type { Node } from "../../src/replication/node.ts";
import { adminKey, withCluster, type Running } from "../replication/cluster.ts";
import { expectDocumented } from "./documented.ts";

export interface Api {
  readonly url: string;
  readonly node: Node;
  /**
   * Sends the admin key unless `headers` has another one. A body that is not a string is sent as JSON. Fails if the
   * response is not as the OpenAPI document says.
   */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: unknown;
}

export const admin = { authorization: `Bearer ${adminKey}` };

/** The policy for the examples of wildcard results in the documentation of Oso Cloud. */
export const wildcardPolicy = `
global { roles = ["user"]; permissions = ["create_repository"]; "create_repository" if "user"; }
has_role(_: User, "user");
actor User {}
resource Org {
  roles = ["member", "admin"]; permissions = ["read", "delete"];
  "read" if "member"; "read" if global "user"; "delete" if "admin";
}
resource Repo {
  roles = ["member", "admin"]; permissions = ["read", "write"]; relations = { parent: Org };
  role if role on "parent";
  "read" if "member"; "write" if "admin"; "member" if "admin";
}
resource Field {}
allow_field(user: User, "read", repo: Repo, Field{"name"}) if has_permission(user, "read", repo);
`;

export function apiOf({ url, node }: Running<Node>): Api {
  return {
    url,
    node,
    async call(method, path, { headers = {}, body } = {}) {
      const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
      const response = await fetch(url + path, { method, headers: { ...admin, ...headers }, ...sent });
      const text = await response.text();
      expectDocumented(method, path, {
        status: response.status,
        type: response.headers.get("content-type") ?? "",
        text,
      });
      return { status: response.status, headers: response.headers, text, json: jsonOf(text) };
    },
  };
}

/** A primary without policy and facts, and its API. */
export async function withPrimary(body: Body, flags: Readonly<Record<string, string>> = {}) {
  await withCluster(async (cluster) => body(apiOf(await cluster.primary())), flags);
}

/**
 * One primary for tests of a file, which starts with the first of them. Each test gets it without facts, data bindings
 * and other keys, and with an empty policy. A test of settings, of the log or of the first start has its own primary.
 */
export function sharedPrimary(flags: Readonly<Record<string, string>> = {}): (body: Body) => Promise<void> {
  const primary = startOnce(flags);
  return async (body) => {
    const api = await primary();
    await removeAll(api);
    await body(api);
  };
}

/** Starts one primary for all tests of a file, and runs `prepare` before the first one. */
export function primaryForAllTests(prepare: Body): void {
  const primary = startOnce({});
  beforeAll(async () => prepare(await primary()));
}

type Body = (api: Api) => Promise<void>;

/** A function that starts a primary when it is called first. It stops after the tests of the file. */
function startOnce(flags: Readonly<Record<string, string>>): () => Promise<Api> {
  const started = Promise.withResolvers<Api>();
  const ended = Promise.withResolvers<void>();
  let stopped: Promise<void> | undefined;
  afterAll(async () => {
    ended.resolve();
    await stopped;
  });
  return () => {
    stopped ??= withPrimary((api) => {
      started.resolve(api);
      return ended.promise;
    }, flags);
    return Promise.race([started.promise, stopped.then(() => started.promise)]);
  };
}

async function removeAll({ call }: Api): Promise<void> {
  const { keys } = (await call("GET", "/api/keys")).json as { keys: { id: string }[] };
  const { bindings } = (await call("GET", "/api/bindings")).json as { bindings: { name: string }[] };
  const answers = [
    await call("POST", "/api/clear_data"),
    await call("POST", "/api/policy", { body: { src: "" } }),
    ...(await Promise.all(bindings.map(({ name }) => call("DELETE", `/api/bindings/${name}`)))),
    ...(await Promise.all(keys.filter(({ id }) => id !== "admin").map(({ id }) => call("DELETE", `/api/keys/${id}`)))),
  ];
  for (const { status } of answers) expect([200, 202]).toContain(status);
}

/** The official client, created as in an application. */
export function clientOf(url: string, key = adminKey): Oso {
  return new Oso(url, key);
}

export const value = (type: string, id: string) => ({ type, id });
export const User = (id: string) => value("User", id);
export const Org = (id: string) => value("Org", id);
export const Repo = (id: string) => value("Repo", id);

export function fact(predicate: string, ...args: { type: string; id: string }[]) {
  return { predicate, args };
}

/** `has_role(User:user, String:role, resource)` */
export function role(user: string, name: string, resource: { type: string; id: string }) {
  return fact("has_role", User(user), value("String", name), resource);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
