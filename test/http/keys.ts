/** API keys with grants, made over HTTP. */
import { expect } from "bun:test";
import type { Answer, Api } from "./api.ts";

export interface MadeKey {
  readonly id: string;
  readonly token: string;
  readonly expires?: string;
  readonly replaced_expires?: string;
}

export interface Grant {
  readonly role: string;
  readonly expires?: string;
  readonly only_predicates?: readonly string[];
  readonly only_types?: readonly string[];
}

type Caller = Pick<Api, "call">;

export async function grantKey(api: Caller, grant: Grant): Promise<MadeKey> {
  const answer = await api.call("POST", "/api/keys", { body: { name: "granted", grant } });
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining("token")]);
  return answer.json as MadeKey;
}

export async function rotateKey(api: Caller, id: string, body: object = {}): Promise<MadeKey> {
  const answer = await api.call("POST", `/api/keys/${id}/rotate`, { body });
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining("token")]);
  return answer.json as MadeKey;
}

export function withKey(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}

/** Asks for something that a key with the role `read` may do. */
export function readWith(api: Caller, token: string): Promise<Answer> {
  return api.call("GET", "/api/stats", { headers: withKey(token) });
}

export interface ListedKey {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly created: string;
  readonly last_used: string | null;
  readonly expires?: string;
  readonly expired?: true;
  readonly replaced_expires?: string;
}

export async function listedKey(api: Caller, id: string): Promise<ListedKey | undefined> {
  const { keys } = (await api.call("GET", "/api/keys")).json as { keys: ListedKey[] };
  return keys.find((key) => key.id === id);
}
