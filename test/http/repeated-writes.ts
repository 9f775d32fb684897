/** Writes of each kind, sent under an idempotency key, and what they leave. */
import { expect } from "bun:test";
import { adminKey, policy } from "../replication/cluster.ts";
import { Org, role, wildcardPolicy } from "./api.ts";

export interface Done {
  readonly status: number;
  readonly message: string;
  readonly token: string | null;
}

export interface Write {
  readonly path: string;
  readonly body?: unknown;
}

export async function send(url: string, { path, body }: Write, id?: string, key = adminKey): Promise<Done> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, ...(id !== undefined && { "x-request-id": id }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const { message } = (await response.json()) as { message: string };
  return { status: response.status, message, token: response.headers.get("osooffset") };
}

/** The users that have a role, and the loaded policy: a write that was executed twice would change them. */
export async function stateAt(url: string): Promise<{ readonly users: readonly string[]; readonly source: string }> {
  const get = async (path: string) =>
    (await fetch(url + path, { headers: { authorization: `Bearer ${adminKey}` } })).json();
  const facts = (await get("/api/facts?predicate=has_role")) as { args: { id: string }[] }[];
  const { policy: loaded } = (await get("/api/policy")) as { policy: { src: string } };
  return { users: facts.map(({ args }) => args[0]?.id ?? "").toSorted(), source: loaded.src };
}

export async function offsetAt(url: string): Promise<number> {
  return ((await (await fetch(`${url}/healthcheck`)).json()) as { offset: number }).offset;
}

export const insertion = (...users: string[]): Write => ({
  path: "/api/batch",
  body: [{ inserts: users.map((user) => role(user, "member", Org("acme"))) }],
});
export const deletion = (user: string): Write => ({
  path: "/api/batch",
  body: [{ deletes: [role(user, "member", Org("acme"))] }],
});
export const loading = (src: string): Write => ({ path: "/api/policy", body: { src, filename: "policy.polar" } });
export const clearing: Write = { path: "/api/clear_data" };
/** This policy has no orgs, so there is a warning about their facts. */
export const other = policy.replaceAll("Repo", "Thing");

/** With characters that JSON escapes. */
export const many = Array.from({ length: 900 }, (_, index) => `user-${index} "\u0007\u{1f600}`);

/** Writes of each kind, and other writes meanwhile that would show a second execution. */
export const kinds: readonly { readonly name: string; readonly write: Write; readonly meanwhile: readonly Write[] }[] =
  [
    {
      name: "a batch",
      write: insertion("ann", "bob"),
      meanwhile: [deletion("ann"), deletion("bob"), insertion("eve")],
    },
    { name: "a batch that another thread parses", write: insertion(...many), meanwhile: [clearing, insertion("eve")] },
    { name: "a batch that deletes", write: deletion("old"), meanwhile: [insertion("old")] },
    { name: "a policy", write: loading(other), meanwhile: [loading(wildcardPolicy)] },
    { name: "clear_data", write: clearing, meanwhile: [insertion("eve", "old")] },
  ];

/** A wildcard policy and one fact. */
export async function prepare(url: string): Promise<void> {
  for (const write of [loading(wildcardPolicy), clearing, insertion("old")])
    expect([200, 202]).toContain((await send(url, write)).status);
}
