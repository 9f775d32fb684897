/**
 * What stands before every route but the health endpoints: who asks, may they, is this copy new enough, and only then the body. A plugin
 * guards all routes of the instance that uses it.
 */
import { Elysia } from "elysia";
import type { ApiKey, ApiKeyRole } from "../../engine/state/event.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { exchangeOf, markDecoded, type Exchange } from "./exchange.ts";
import { authorizationOf, bearerIn, apiKeyFinder } from "./authentication.ts";

export interface AccessOptions {
  /** The least that a key must be allowed. */
  readonly role: ApiKeyRole;
  readonly bodyBytesMax: number;
}

/** Lets a request pass or throws why not; what it has to wait for first, where it has to. */
export type Guard = (exchange: Exchange, request: Request) => Promise<void> | undefined;

/** Guards reads: a key with the role, and a copy that contains what the caller's consistency token names. */
export function readAccess(node: Node, options: AccessOptions) {
  return access(options, readGuard(node, options.role));
}

/** The same without a plugin around it. */
export function readGuard(node: Node, role: ApiKeyRole): Guard {
  const findKey = apiKeyFinder(node);
  return (exchange, request) => {
    admit(exchange, findKey(authorizationOf(request)), role);
    return recentEnough(node, request);
  };
}

/** What the caller wants to be sure of: a token that the answer contains, or all that the primary has now. */
function recentEnough(node: Node, request: Request): Promise<void> | undefined {
  node.requireFresh();
  const wanted = request.headers.get("ostiary-consistency");
  if (wanted !== null && wanted !== "latest")
    throw new AppError("invalid_request", "`Ostiary-Consistency` can be `latest`, or is not sent at all");
  if (wanted !== null) return node.waitForLatest();
  const token = request.headers.get("osooffset");
  return token ? node.waitFor(token) : undefined;
}

/** Guards writes: a key with the role. Whatever the caller has seen of the past, its write comes after it. */
export function writeAccess(node: Node, options: AccessOptions) {
  const findKey = apiKeyFinder(node);
  return access(options, (exchange, request) => {
    admit(exchange, findKey(authorizationOf(request)), options.role);
    requireHistory(node, request);
    return undefined;
  });
}

/** An edge that forwards a write says which history it has. A primary of another one was started on an empty directory. */
function requireHistory({ writes }: Node, request: Request): void {
  const theirs = request.headers.get("ostiary-history");
  if (theirs !== null && writes !== undefined && theirs !== writes.history)
    throw new AppError(
      "not_ready",
      "the primary has another history than the node that was asked, nothing was written",
    );
}

/**
 * Guards writes that an edge forwards: the key is checked here, before the body is read, and again by the primary. A key that is not known here may be
 * newer than this copy, so the primary is asked for it.
 */
export function forwardGuard(node: Node): (exchange: Exchange, request: Request, role: ApiKeyRole) => Promise<void> {
  const findKey = apiKeyFinder(node);
  return async (exchange, request, role) => {
    const authorization = authorizationOf(request);
    const text = bearerIn(authorization);
    const known = ifReady(() => findKey(authorization));
    if (known !== undefined || node.lookUpKey === undefined) return admit(exchange, known, role);
    const found = await node.lookUpKey(text);
    if (found !== "unchecked") requireRole(exchange, found === "unknown" ? undefined : found, role);
  };
}

/** Undefined where this node has no copy to look in. */
function ifReady<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof AppError && error.code === "not_ready") return undefined;
    throw error;
  }
}

/**
 * The guard comes first and the body after it, as a value that the route checks. Elysia's parser is off: it runs before any hook that all routes
 * share, and looks at `request.body`, which costs making a stream of what is read in one piece.
 */
function access({ bodyBytesMax }: AccessOptions, guard: Guard) {
  return new Elysia().guard({ as: "scoped", parse: ["none"] }).onTransform({ as: "scoped" }, async (context) => {
    const { request } = context;
    const exchange = exchangeOf(request);
    // Elysia sets what it finds used in the text of this function, and finds no more than this where the text is minified.
    exchange.route = context.route;
    const waiting = guard(exchange, request);
    if (waiting !== undefined) await waiting;
    if (!bodiless.has(exchange.method)) context.body = await exchange.bodies.readJson(exchange, request, bodyBytesMax);
    markDecoded(exchange);
  });
}

const bodiless: ReadonlySet<string> = new Set(["GET", "HEAD"]);

const rank: Readonly<Record<ApiKeyRole, number>> = { read: 1, write: 2, admin: 3 };

function admit(exchange: Exchange, key: ApiKey | undefined, role: ApiKeyRole): void {
  requireRole(exchange, key?.role, role);
  exchange.key = key;
}

/** Throws where there is no key with a role, or where its role is not enough. */
function requireRole(exchange: Exchange, own: ApiKeyRole | undefined, role: ApiKeyRole): void {
  if (own === undefined) {
    throw new AppError(
      "unauthorized",
      "this API key is not valid here: it is of another environment, was removed, or was mistyped",
    );
  }
  if (rank[own] < rank[role]) {
    throw new AppError(
      "forbidden",
      `this API key may only \`${own}\`, \`${exchange.method} ${exchange.route}\` needs a key with the role ${rolesFrom(role)}`,
    );
  }
}

function rolesFrom(role: ApiKeyRole): string {
  const names = Object.keys(rank).filter((name) => rank[name as ApiKeyRole] >= rank[role]);
  return names.map((name) => `\`${name}\``).join(" or ");
}
