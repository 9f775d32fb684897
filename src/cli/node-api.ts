/** Requests to the API of a running node, for the commands that need one. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import type { z } from "zod";
import { fetch, tlsFetchOptions } from "../runtime/fetch.ts";
import type { ApiKeyRole } from "../log/event/event.ts";
import { type Endpoint, momentHeader, type ParameterIn, type ResponseOf } from "../http/endpoint.ts";
import { authorityIn, readPemFiles } from "../replication/tls-files.ts";
import { systemAuthorities } from "../replication/tls-identity.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { backoffMs } from "../util/backoff.ts";
import { certificateProblem } from "../util/certificate-problem.ts";
import { hintHeader, textOfHeader } from "../util/header-text.ts";
import { printable } from "../util/printable.ts";
import { connectionProblem, reasonOf } from "../util/reason.ts";
import { printWarning } from "./color.ts";
import { UsageError } from "./command.ts";
import { lenient } from "./lenient-schema.ts";
import { currentToken } from "./oidc/current-token.ts";
import { readLogins } from "./oidc/stored-logins.ts";

export interface NodeAccess {
  readonly url: string;
  /** The API key, or the present token of a login. Asked for each request, because a token expires. */
  readonly credential: () => Promise<string>;
  /** The id of the environment that a person means; undefined for the default one, and with an API key, which has one. */
  readonly environment?: string | undefined;
  /** The file of the authority that is trusted in place of the system's. */
  readonly ca?: string | undefined;
}

/** The flag and the description of the option with the authority of the node. */
export const caOption = [
  "--ca <file>",
  "A PEM file with the certificate authority of the node, if it is not one of the system's [OSTIARY_TLS_CA]",
] as const;

/** The file of the authority: of the option `--ca`, otherwise of OSTIARY_TLS_CA. */
export function authorityFile(option: string | undefined): string | undefined {
  return option ?? (process.env["OSTIARY_TLS_CA"] || undefined);
}

/** Adds the options that name the node, for requests to an endpoint. */
export function withAccess(command: Command, { role = "read" }: Pick<Endpoint, "role">): Command {
  roles.set(command, role);
  return command
    .option("--url <url>", "The URL of the node (default: http://127.0.0.1:8080) [OSO_URL]")
    .option(...caOption)
    .addHelpText(
      "after",
      `\n${article(role)} ${role} key${role === "admin" ? "" : " or a stronger one"} is required, in the variable OSO_AUTH. Without it the login of \`ostiary login\` is used, in the\nenvironment that OSO_ENVIRONMENT names.`,
    );
}

/** The weakest accepted role of the API key, by command. */
const roles = new WeakMap<Command, ApiKeyRole>();

/** The node that the options of `withAccess` name. */
export function accessOf(command: Command): NodeAccess {
  const role = must(roles.get(command), "a command that asks a node has its options");
  const url = nodeUrl(command.getOptionValue("url") as string | undefined);
  const ca = authorityFile(command.getOptionValue("ca") as string | undefined);
  const key = process.env["OSO_AUTH"]?.trim();
  if (key) return { url, ca, credential: () => Promise.resolve(key) };
  if (url in readLogins()) return { url, ca, credential: () => currentToken(url), environment: personalEnvironment() };
  throw new UsageError(
    `OSO_AUTH is not set; set it to ${article(role).toLowerCase()} ${role} key of the node, or log in with \`ostiary login\``,
  );
}

/** The environment in which a person uses a login. */
export function personalEnvironment(): string | undefined {
  return process.env["OSO_ENVIRONMENT"]?.trim() || undefined;
}

/** The headers that say who asks, and in which environment. */
export async function credentialHeaders({ credential, environment }: NodeAccess): Promise<Record<string, string>> {
  const authorization = { Authorization: `Bearer ${await credential()}` };
  return environment === undefined ? authorization : { ...authorization, "Ostiary-Environment": environment };
}

/**
 * A request to a node. AppError `not_ready`: the node does not answer; `conflict`: its certificate is not accepted, or the
 * file of the authority cannot be used.
 */
export async function fetchNode(
  { url, ca }: Pick<NodeAccess, "url" | "ca">,
  path: string,
  init: RequestInit,
  urlSources?: string,
): Promise<Response> {
  const tls = tlsFetchOptions({ ca: authorityIn(readPemFiles({ "--ca": ca }), "--ca") });
  try {
    return await fetch(`${url}${path}`, { ...init, ...tls });
  } catch (error) {
    throw noAnswer({ url, ca }, error, urlSources);
  }
}

/** The URL of the node: of the option `--url`, otherwise of OSO_URL. Throws UsageError. */
export function nodeUrl(option: string | undefined): string {
  return checkedUrl(option ?? (process.env["OSO_URL"] || "http://127.0.0.1:8080"));
}

/** The URL without slashes at its end. Throws UsageError. */
export function checkedUrl(url: string): string {
  if (!URL.canParse(url)) throw new UsageError(`\`${url}\` is not a URL, such as http://127.0.0.1:8080`);
  const { username, password } = new URL(url);
  // Requests have the API key instead, and messages show the URL.
  if (username !== "" || password !== "")
    throw new UsageError("the URL of the node has a user name or a password; remove it, OSO_AUTH has the API key");
  return url.replace(/\/+$/, "");
}

function article(role: ApiKeyRole): string {
  return role === "admin" ? "An" : "A";
}

export interface EndpointRequest<E extends Endpoint = Endpoint> {
  /** The parameters in the path. */
  readonly params?: Readonly<Record<ParameterIn<E["path"]>, string>>;
  /** The parameters of the query string; those that are undefined are left out. */
  readonly query?: Readonly<Record<string, string | number | undefined>> | URLSearchParams;
  readonly body?: object;
  readonly timeoutMs?: number;
  /** The earlier moment that a question is about. An answer of a node that ignores it is refused. */
  readonly at?: string | undefined;
}

export type CallEndpoint = typeof callEndpoint;

/**
 * Sends one request to an endpoint, so that a failure is shown immediately. Returns the JSON of the response, which is as
 * declared but for members of other versions. Throws AppError with the message of the node if it refuses.
 */
export async function callEndpoint<E extends Endpoint>(
  access: NodeAccess,
  endpoint: E,
  request: EndpointRequest<E> = {},
): Promise<ResponseOf<E>> {
  return answerIn(endpoint, await askEndpoint(access, endpoint, request));
}

/** As `callEndpoint`, without a check: for JSON that is only printed, and for changes, which are done whatever the answer. */
export async function askEndpoint<E extends Endpoint>(
  access: NodeAccess,
  endpoint: E,
  request: EndpointRequest<E> = {},
): Promise<unknown> {
  const sent = requestOf(endpoint, request);
  return jsonOf(access, sent, await requestNode(access, sent));
}

/** The same for one of many requests, by which a short outage would waste the others: `requestNodeAgain`. */
export const callEndpointAgain: CallEndpoint = async (access, endpoint, request = {}) => {
  const sent = requestOf(endpoint, request);
  return answerIn(endpoint, await jsonOf(access, sent, await requestNodeAgain(access, sent)));
};

/** The request that `callEndpoint` sends. */
export function requestOf<E extends Endpoint>(endpoint: E, request: EndpointRequest<E>): NodeRequest {
  const { params = {}, query = {}, body, timeoutMs, at } = request as EndpointRequest;
  const path = endpoint.path.replaceAll(/:(\w+)/g, (_, name: string) =>
    encodeURIComponent(must((params as Readonly<Record<string, string>>)[name])),
  );
  const given = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const sent = new URLSearchParams(
    given.flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, `${value}`]])),
  );
  return {
    method: endpoint.method,
    path: sent.size === 0 ? path : `${path}?${sent}`,
    body: body === undefined ? undefined : JSON.stringify(body),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(at !== undefined && { headers: { [momentHeader]: at } }),
  };
}

async function jsonOf({ url }: NodeAccess, { headers }: NodeRequest, response: Response): Promise<unknown> {
  if (!response.ok) throw await errorFrom(url, response);
  // A node of release 0.1.0 answers for the present.
  if (headers?.[momentHeader] !== undefined && !response.headers.has(momentHeader))
    throw new AppError(
      "conflict",
      `${url} answered for the present: its version knows no earlier moments (\`--at\`); upgrade the node`,
    );
  const hint = hintIn(response);
  // On standard error, like all messages: programs read the answer on standard output.
  if (hint !== undefined) await printWarning(hint);
  return response.json().catch(() => undefined);
}

/** What a response says about names that the policy does not have, for one line. */
export function hintIn(response: Response): string | undefined {
  const hint = response.headers.get(hintHeader);
  return hint === null ? undefined : printable(textOfHeader(hint));
}

/** Checks the JSON of a successful response. Throws AppError if the node has another version with another format. */
export function answerIn<E extends Endpoint>(endpoint: E, answer: unknown): ResponseOf<E> {
  const schema = must(must(endpoint.responses()[200]).content["application/json"]);
  return expectAnswer(schema, answer, `as declared for \`${endpoint.method} ${endpoint.path}\``) as ResponseOf<E>;
}

/** Checks what a node sent. Throws AppError if it does not fit, however lenient. */
export function expectAnswer<Schema extends z.ZodType>(
  schema: Schema,
  answer: unknown,
  what: string,
): z.output<Schema> {
  const { data, error } = lenient(schema).safeParse(answer);
  if (error === undefined) return data as z.output<Schema>;
  const at = error.issues[0]?.path.join(".");
  throw unexpectedAnswer(at ? `${what} (\`${at}\`)` : what);
}

export interface NodeRequest {
  readonly method: string;
  readonly path: string;
  /** JSON. */
  readonly body?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Returns the response, whatever its status. Throws AppError `not_ready` if the node does not answer in time. */
export async function requestNode(
  access: NodeAccess,
  { method, path, body, headers, timeoutMs = 30_000 }: NodeRequest,
): Promise<Response> {
  const credentials = await credentialHeaders(access);
  return fetchNode(access, path, {
    method,
    headers: { ...credentials, "Content-Type": "application/json", ...headers },
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(timeoutMs),
  });
}

const retryDelay = { minMs: 200, maxMs: 5000 };
/** With the delays about 30 s: long enough for a promotion or a restart. */
const triesMax = 10;
const retryAfterMaxMs = 30_000;
/** With these statuses another attempt may succeed. */
const temporary: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/**
 * As `requestNode`, for reads and writes that may be repeated: tries again if the node does not answer or cannot do it
 * now. All attempts have one `X-Request-ID`, so that a write is done once. Ends with the last response.
 */
export async function requestNodeAgain(access: NodeAccess, request: NodeRequest): Promise<Response> {
  const headers = { "X-Request-ID": randomUUID(), ...request.headers };
  for (let tries = 1; ; tries++) {
    let delayMs = backoffMs(tries - 1, retryDelay, Math.random());
    try {
      const response = await requestNode(access, { ...request, headers });
      if (!temporary.has(response.status) || tries === triesMax) return response;
      await response.body?.cancel();
      const retryAfterMs = 1000 * (Number(response.headers.get("retry-after")) || 0);
      delayMs = Math.max(delayMs, Math.min(retryAfterMs, retryAfterMaxMs));
    } catch (error) {
      // A login that has expired will not come back.
      const isFinal = error instanceof AppError && error.code !== "not_ready";
      if (isFinal || tries === triesMax) throw error;
    }
    await sleep(delayMs);
  }
}

/** Why TLS failed, and what to do; undefined if TLS is not the reason. */
export function tlsProblem({ url, ca }: Pick<NodeAccess, "url" | "ca">, error: unknown): string | undefined {
  const trusted = ca === undefined ? systemAuthorities : `the file \`${ca}\` of \`--ca\` or OSTIARY_TLS_CA`;
  const names = { trusted, authority: "with `--ca` or OSTIARY_TLS_CA", certificate: "of this command" };
  return certificateProblem(url, error, names);
}

/**
 * The error if the node does not answer: `not_ready`, or `conflict` if its certificate is not accepted, so that another
 * attempt fails as well.
 */
export function noAnswer(node: Pick<NodeAccess, "url" | "ca">, error: unknown, urlSources?: string): AppError {
  const { url } = node;
  const ofTls = tlsProblem(node, error);
  const isFinal = ofTls !== undefined && (error as NodeJS.ErrnoException).code !== "ECONNRESET";
  const problem = `no answer from ${url}: ${ofTls ?? connectionProblem(error) ?? reasonOf(error)}`;
  const remedy = `; check that a node runs there, or name another node with ${urlSources ?? "`--url` or OSO_URL"}`;
  return new AppError(isFinal ? "conflict" : "not_ready", ofTls === undefined ? problem + remedy : problem, {
    cause: error,
  });
}

/** The error of a response that refuses a request: `too_large` for a 413, `not_found` for a 404. */
export async function errorFrom(url: string, response: Response): Promise<AppError> {
  const reason = (await messageIn(response)) ?? "no reason given";
  const code = response.status === 413 ? "too_large" : response.status === 404 ? "not_found" : "invalid_request";
  return new AppError(code, `${url} answered ${response.status}: ${reason}`);
}

export function unexpectedAnswer(what: string): AppError {
  return new AppError("invalid_request", `the response of the node is not ${what}; the node may have another version`);
}

/** The message of a node in a response that refuses a request. */
export async function messageIn(response: Response): Promise<string | undefined> {
  return ((await response.json().catch(() => ({}))) as { message?: string }).message;
}
