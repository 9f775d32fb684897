/** Requests to the API of a running node, for the commands that need one. */
import type { Command } from "commander";
import { fetch } from "../runtime/fetch.ts";
import type { ApiKeyRole } from "../engine/state/event.ts";
import { AppError } from "../util/app-error.ts";
import { connectionProblem, reasonOf } from "../util/reason.ts";
import { UsageError } from "./command.ts";

export interface NodeAccess {
  readonly url: string;
  readonly key: string;
}

/** Adds the options that name the node. `role` is the weakest accepted role of the API key. */
export function withAccess(command: Command, role: ApiKeyRole): Command {
  return command
    .option("--url <url>", "The URL of the node (default: http://127.0.0.1:8080) [OSO_URL]")
    .addHelpText(
      "after",
      `\n${article(role)} ${role} key${role === "admin" ? "" : " or a stronger one"} is required, in the variable OSO_AUTH.`,
    );
}

export function accessOf(command: Command, role: ApiKeyRole): NodeAccess {
  const url =
    (command.getOptionValue("url") as string | undefined) ?? (process.env["OSO_URL"] || "http://127.0.0.1:8080");
  const key = process.env["OSO_AUTH"]?.trim();
  if (!key)
    throw new UsageError(`OSO_AUTH is not set; set it to ${article(role).toLowerCase()} ${role} key of the node`);
  return { url: checkedUrl(url), key };
}

/** The URL without slashes at its end. Throws UsageError. */
export function checkedUrl(url: string): string {
  if (!URL.canParse(url)) throw new UsageError(`\`${url}\` is not a URL, such as http://127.0.0.1:8080`);
  return url.replace(/\/+$/, "");
}

function article(role: ApiKeyRole): string {
  return role === "admin" ? "An" : "A";
}

/** Returns the JSON of the response. Throws AppError with the message of the node if it refuses. */
export async function callNode(access: NodeAccess, method: string, path: string, body?: object): Promise<unknown> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await requestNode(access, { method, path, body: text });
  if (!response.ok) throw await errorFrom(access.url, response);
  return response.json().catch(() => ({}));
}

interface NodeRequest {
  readonly method: string;
  readonly path: string;
  /** JSON. */
  readonly body?: string | undefined;
  readonly timeoutMs?: number;
}

/** Returns the response, whatever its status. Throws AppError `not_ready` if the node does not answer. */
export async function requestNode({ url, key }: NodeAccess, request: NodeRequest): Promise<Response> {
  const { method, path, body, timeoutMs = 30_000 } = request;
  try {
    return await fetch(`${url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    throw new AppError("not_ready", noAnswerFrom(url, error));
  }
}

/** The message if the node does not answer. */
export function noAnswerFrom(url: string, error: unknown, urlSources = "`--url` or OSO_URL"): string {
  return `no answer from ${url}: ${connectionProblem(error) ?? reasonOf(error)}; check that a node runs there, or name another node with ${urlSources}`;
}

/** The error of a response that refuses a request. */
export async function errorFrom(url: string, response: Response): Promise<AppError> {
  const reason = (await messageIn(response)) ?? "no reason given";
  return new AppError("invalid_request", `${url} answered ${response.status}: ${reason}`);
}

/** The message of a node in a response that refuses a request. */
export async function messageIn(response: Response): Promise<string | undefined> {
  return ((await response.json().catch(() => ({}))) as { message?: string }).message;
}
