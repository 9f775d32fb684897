/** Lists over HTTP, whole and page by page, for tests of the consistency of pages. */
import { expect } from "bun:test";
import { must } from "../../src/util/assert.ts";
import { Org, role, type Answer, type Api } from "./api.ts";

export interface ListBody {
  readonly actor_type: string;
  readonly actor_id: string;
  readonly action: string;
  readonly resource_type: string;
  readonly context_facts?: readonly object[];
}

export interface Page {
  readonly results: readonly string[];
  readonly next_page_token: string | null;
}

export function listBody(user: string, action: string, type: string): ListBody {
  return { actor_type: "User", actor_id: user, action, resource_type: type };
}

export const policy = `
actor User {}
resource Org {
  roles = ["member", "admin"]; permissions = ["read", "delete"];
  "read" if "member"; "delete" if "admin";
}
has_permission(_: User, "see", _: Org);
has_permission(user: User, "see", org: Org) if has_role(user, "member", org);
`;
export const lendingPolicy = `${policy}
has_role(user: User, role: String, org: Org) if
  ends matches Integer and lent(user, role, org, ends) and @current_unix_time < ends;
`;
export const narrower = policy.replace(`"read" if "member"`, `"read" if "admin"`);

export const ids = ["!", "+", "a", "b", "c", "d", "e", "f", "é", "\uffee", "😀", "~"];
export const reading = listBody("ann", "read", "Org");
export const seeing = listBody("ann", "see", "Org");

export async function batch(api: Api, inserts: readonly object[], deletes: readonly object[] = []): Promise<void> {
  const answer = await api.call("POST", "/api/batch", { body: [{ inserts }, { deletes }] });
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
}

export async function load(api: Api, members: readonly string[] = ids, src = policy): Promise<void> {
  expect((await api.call("POST", "/api/policy", { body: { src } })).status).toBeOneOf([200, 202]);
  await batch(
    api,
    members.map((id) => role("ann", "member", Org(id))),
  );
}

/** All ids in one response. */
export async function wholeList(api: Api, body: ListBody): Promise<readonly string[]> {
  return ((await ok(api.call("POST", "/api/list", { body }))) as Page).results;
}

export async function firstPage(api: Api, body: ListBody, size: number): Promise<Page> {
  return (await ok(api.call("POST", "/api/list", { body: { ...body, page_size: size } }))) as Page;
}

/** The response to a later page, with any status. */
export function askPage(api: Api, body: ListBody, token: string | null): Promise<Answer> {
  return api.call("POST", "/api/list", { body: { ...body, page_token: must(token, "there is a next page") } });
}

export async function nextPage(api: Api, body: ListBody, token: string | null): Promise<Page> {
  return (await ok(askPage(api, body, token))) as Page;
}

/** All ids from `page` to the end. */
export async function restOf(api: Api, body: ListBody, page: Page): Promise<string[]> {
  const found = [...page.results];
  for (let token = page.next_page_token; token !== null;) {
    const next = await nextPage(api, body, token);
    found.push(...next.results);
    token = next.next_page_token;
  }
  return found;
}

/** The list cannot be continued. Clients must not mistake that for a page that is not ready yet. */
export function expectGone(answer: Answer): void {
  expect([answer.status, answer.headers.get("retry-after")]).toEqual([409, null]);
  const message = expect.stringContaining("request it again without a `page_token`");
  expect(answer.json).toEqual({ message, code: "list_gone" });
}

/** The content of a token, and a token with another content. */
export function openToken(token: string | null): unknown[] {
  return JSON.parse(Buffer.from(must(token), "base64url").toString()) as unknown[];
}

export function forgeToken(parts: unknown): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

async function ok(asked: Promise<Answer>): Promise<unknown> {
  const { status, text, json } = await asked;
  expect({ status, text }).toMatchObject({ status: 200 });
  return json;
}
