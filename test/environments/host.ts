/** The HTTP API of a node that hosts several environments, for tests. */
import { expect } from "bun:test";
import { adminKey } from "../replication/cluster.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Members;
}

/** The members of responses that tests read. */
export interface Members {
  readonly allowed?: boolean;
  readonly token?: string;
  readonly environments?: readonly object[];
  readonly keys?: readonly { readonly id: string }[];
  readonly events?: readonly Readonly<Record<string, unknown>>[];
}

/** Sends a request with the key; `body` is sent as JSON. */
export async function ask(
  { url }: { readonly url: string },
  key: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Reply> {
  const response = await fetch(url + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: membersOf(text) };
}

function membersOf(text: string): Members {
  try {
    return JSON.parse(text) as Members;
  } catch {
    return {};
  }
}

/** Creates an environment, and returns its admin key. */
export async function createEnvironment(
  node: { readonly url: string },
  id: string,
  more: { readonly name?: string; readonly copy_of?: string } = {},
): Promise<string> {
  const created = await ask(node, adminKey, "POST", "/api/environments", { id, ...more });
  expect([created.status, created.text]).toEqual([200, expect.stringContaining(`"id":"${id}"`)]);
  return String(created.json.token);
}

export const policy = `
actor User {}
resource Repo { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }
`;

export const isReader = (user: string, repo = "main") => ({
  predicate: "has_role",
  args: [
    { type: "User", id: user },
    { type: "String", id: "reader" },
    { type: "Repo", id: repo },
  ],
});

/** Uploads the policy and makes users readers. */
export async function fill(node: { readonly url: string }, key: string, ...users: string[]): Promise<void> {
  expect((await ask(node, key, "POST", "/api/policy", { src: policy })).status).toBe(200);
  const inserts = users.map((user) => isReader(user));
  expect((await ask(node, key, "POST", "/api/batch", [{ inserts }])).status).toBe(200);
}

/** Whether the user may read, or the status of a refusal. */
export async function mayRead(node: { readonly url: string }, key: string, user: string): Promise<boolean | number> {
  const question = { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" };
  const { status, json } = await ask(node, key, "POST", "/api/authorize", { ...question, context_facts: [] });
  return status === 200 ? json.allowed === true : status;
}

/**
 * Without what differs between two runs: ids, times, durations and samples of metrics. Entries of one millisecond have no
 * order.
 */
export function comparable({ status, headers, text }: Reply): unknown {
  const shown = [...headers]
    .filter(([name]) => !["date", "x-request-id", "server-timing", "osooffset", "content-length"].includes(name))
    .toSorted();
  return [
    status,
    shown,
    text
      .replaceAll(/"times":\[[^\]]*\],"series":\{[^}]*\}/g, "<samples>")
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "<uuid>")
      .replaceAll(/\b[0-9a-f]{12,64}\b/g, "<id>")
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
      .replaceAll(/\d{13}/g, "<ms>")
      .replaceAll(/127\.0\.0\.1:\d+/g, "<url>")
      .split(/(?=\{"id":)/)
      .toSorted(),
  ];
}
