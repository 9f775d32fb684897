/**
 * Requests of the official clients for Go, Python, Ruby and Java, replayed on a primary and on a fallback.
 *
 * `recorded-requests.jsonl` has a line for each client, followed by a line for each of its requests in order. The
 * requests were recorded from the clients themselves, between them and a node. Those with `derived` were not: they follow
 * from the documentation of that version and from Oso Cloud's OpenAPI document, because the client could not be run.
 * A text `$name` is replaced. In an expected answer `$any` stands for everything, and a text that begins with `~` for each
 * text that contains the rest. `conflict` says what the client expects instead.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { must } from "../../src/util/assert.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { admin, apiOf, sharedPrimary, type Api } from "../http/api.ts";

interface Client {
  readonly client: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface RecordedRequest {
  /** The method of the client. */
  readonly call: string;
  readonly method: string;
  readonly path: string;
  readonly key?: "wrong";
  readonly body?: unknown;
  readonly write?: true | undefined;
  readonly status: number;
  readonly answer: unknown;
}

interface Session extends Client {
  readonly requests: RecordedRequest[];
}

const sessions: Session[] = [];
const lines = (await Bun.file(join(import.meta.dir, "recorded-requests.jsonl")).text()).trim().split("\n");
for (const line of lines) {
  const entry = JSON.parse(line) as Client | RecordedRequest;
  if ("client" in entry) sessions.push({ ...entry, requests: [] });
  else must(sessions.at(-1)).requests.push(entry);
}

const policy = `actor User {}
resource Organization {
  roles = ["member", "admin"];
  permissions = ["read", "delete"];
  "member" if "admin"; "read" if "member"; "delete" if "admin";
}
resource Repository {
  roles = ["reader"];
  permissions = ["read", "write"];
  relations = { organization: Organization };
  "read" if "reader"; "read" if "member" on "organization"; "write" if "admin" on "organization";
}
`;
const bindings = `facts:
  has_relation(Repository:_, organization, Organization:_):
    query: SELECT id, organization_id FROM repositories
`;
const token = /^[0-9a-f]{16}:\d+$/;

/** The values of the texts `$name` that change with each response. */
type Values = Record<string, string>;

/** A copy with the replacements, and with an expectation for each text that begins with `~`. */
function replaced(value: unknown, values: Values): unknown {
  if (typeof value === "string") {
    if (value === "$any") return expect.anything();
    if (value.startsWith("~")) return expect.stringContaining(value.slice(1));
    return value.startsWith("$") ? must(values[value.slice(1)], `no value of ${value}`) : value;
  }
  if (Array.isArray(value)) return value.map((each) => replaced(each, values));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, replaced(each, values)]));
}

/** Sends a request as the client does. The position and the request id of its response are added to `values`. */
async function replay(api: Api, { headers: recorded }: Client, request: RecordedRequest, values: Values) {
  const requestId = randomUUID();
  const headers = Object.fromEntries(
    Object.entries(recorded)
      // Clients send a position from the first write on.
      .filter(([, value]) => value !== "$token" || values["token"] !== undefined)
      .map(([name, value]) => [name, replaced(value, { ...values, requestId }) as string]),
  );
  const authorization = request.key === "wrong" ? { authorization: `${admin.authorization}wrong` } : {};
  const type = request.body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await api.call(request.method, request.path, {
    headers: { ...headers, ...type, ...authorization },
    body: replaced(request.body, values),
  });
  const sent = answer.headers.get("x-request-id") ?? "";
  if ("X-Request-ID" in recorded) expect(sent).toBe(requestId);
  else expect(sent).not.toBe("");
  expect(answer.headers.get("content-type")).toBe("application/json");
  values["lastRequestId"] = sent;
  const position = answer.headers.get("osooffset");
  if (position !== null) values["token"] = position;
  return { ...answer, position };
}

/** Replays requests, and compares each response with the expected one. */
async function expectAnswers(api: Api, session: Session, requests: readonly RecordedRequest[]): Promise<void> {
  const values: Values = { policy, bindings };
  for (const request of requests) {
    const { status, json, position } = await replay(api, session, request, values);
    const expected = { call: request.call, status: request.status, json: replaced(request.answer, values) };
    expect({ call: request.call, status, json }).toEqual(expected);
    if (request.write) expect(position).toMatch(token);
    else expect(position).toBeNull();
  }
}

const withPrimary = sharedPrimary();

test.each(sessions.map((session) => [session.client, session] as const))(
  "%s gets its answers from a primary",
  (_, session) => withPrimary((api) => expectAnswers(api, session, session.requests)),
);

/** What clients ask a fallback when a node does not answer. They send it no writes. */
const askedOfFallbacks = new Set([
  "POST /api/authorize",
  "POST /api/authorize_resources",
  "POST /api/list",
  "POST /api/actions",
  "POST /api/query",
  "POST /api/evaluate_query",
  "POST /api/authorize_query",
  "POST /api/list_query",
  "POST /api/actions_query",
  "POST /api/evaluate_query_local",
  "GET /api/facts",
  "GET /api/policy_metadata",
]);

test("all clients get their answers from a fallback, and errors for writes", () =>
  withPrimary(async (primary) => {
    const isWrite = ({ write }: RecordedRequest): boolean => write === true;
    const first = must(sessions[0]);
    await expectAnswers(primary, first, first.requests.filter(isWrite));
    await withCluster(async (cluster) => {
      const fallback = apiOf(await cluster.fallback(primary));
      await eventually(() => expect(fallback.node.health().offset).toBe(primary.node.health().offset));
      const refused = {
        message: "this is a fallback, which only answers queries, send writes to the primary or an edge",
        code: "read_only",
      };
      for (const session of sessions) {
        const reads = session.requests.filter(({ method, path }) =>
          askedOfFallbacks.has(`${method} ${path.replace(/\?.*/, "")}`),
        );
        await expectAnswers(fallback, session, reads);
        const writes = session.requests.filter(isWrite);
        await expectAnswers(
          fallback,
          session,
          writes.map((request) => ({ ...request, write: undefined, status: 503, answer: refused })),
        );
      }
    });
  }));
