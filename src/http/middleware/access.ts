/**
 * Access control of all routes except the health endpoints. A guard checks the API key, its role and the required
 * consistency; the body is read only after that. A plugin guards all routes of the Elysia instance that uses it.
 */
import { Elysia } from "elysia";
import type { ApiKey, ApiKeyRole } from "../../engine/state/event.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { exchangeOf, markDecoded, type Exchange } from "./exchange.ts";
import { authorizationOf, bearerIn, apiKeyFinder } from "./authentication.ts";

export interface AccessOptions {
  /** The weakest role that is accepted. */
  readonly role: ApiKeyRole;
  readonly bodyBytesMax: number;
}

/** Throws AppError if a request is refused; returns a promise if the request has to wait first. */
export type Guard = (exchange: Exchange, request: Request) => Promise<void> | undefined;

/**
 * Guards reads: they need a key with the role, and a database that has reached the position of the client's consistency
 * token.
 */
export function readAccess(node: Node, options: AccessOptions) {
  return access(options, readGuard(node, options.role));
}

/** The guard of `readAccess` without a plugin. */
export function readGuard(node: Node, role: ApiKeyRole): Guard {
  const findKey = apiKeyFinder(node);
  return (exchange, request) => {
    const authorization = authorizationOf(request);
    admit(exchange, findKey(authorization), role);
    // An event that the request waits for can remove the key.
    return requireConsistency(node, request)?.then(() => admit(exchange, findKey(authorization), role));
  };
}

/** Waits for the position of a consistency token, or with `latest` for that of the primary. */
function requireConsistency(node: Node, request: Request): Promise<void> | undefined {
  node.requireFresh();
  const wanted = request.headers.get("ostiary-consistency");
  if (wanted !== null && wanted !== "latest")
    throw new AppError("invalid_request", "`Ostiary-Consistency` must be `latest` or absent");
  if (wanted !== null) return node.waitForLatest();
  const token = request.headers.get("osooffset");
  return token ? node.waitFor(token) : undefined;
}

/**
 * Guards writes: they need a key with the role. A write needs no consistency token, because it follows all events that
 * a client can have seen.
 */
export function writeAccess(node: Node, options: AccessOptions) {
  const findKey = apiKeyFinder(node);
  return access(options, (exchange, request) => {
    admit(exchange, findKey(authorizationOf(request)), options.role);
    requireHistory(node, request);
    return undefined;
  });
}

/**
 * An edge that forwards a write sends the id of its history. A primary with another history was started on an empty
 * directory.
 */
function requireHistory({ writes }: Node, request: Request): void {
  const history = request.headers.get("ostiary-history");
  if (history !== null && writes !== undefined && history !== writes.history)
    throw new AppError(
      "not_ready",
      "the primary has another history than the node that forwarded the write, nothing was written",
    );
}

/**
 * Guards writes that an edge forwards. The edge checks the key before it reads the body, and the primary checks it
 * again. A key that the edge does not know can be newer than its database, so the edge looks it up at the primary.
 */
export function forwardGuard(node: Node): (exchange: Exchange, request: Request, role: ApiKeyRole) => Promise<void> {
  const findKey = apiKeyFinder(node);
  return async (exchange, request, role) => {
    const authorization = authorizationOf(request);
    const keyText = bearerIn(authorization);
    const known = ifReady(() => findKey(authorization));
    if (known !== undefined || node.lookUpKey === undefined) return admit(exchange, known, role);
    const found = await node.lookUpKey(keyText);
    if (found !== "unchecked") requireRole(exchange, found === "unknown" ? undefined : found, role);
  };
}

/** The result of `find`; undefined if this node has no database yet. */
function ifReady<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch (error) {
    if (error instanceof AppError && error.code === "not_ready") return undefined;
    throw error;
  }
}

/**
 * Runs the guard, then reads the body as a value that the route validates. Elysia's parser is turned off: it runs
 * before all common hooks, and it uses `request.body`, which would create a stream for a body that is read in one
 * piece.
 */
function access({ bodyBytesMax }: AccessOptions, guard: Guard) {
  return new Elysia().guard({ as: "scoped", parse: ["none"] }).onTransform({ as: "scoped" }, async (context) => {
    const { request } = context;
    const exchange = exchangeOf(request);
    // Elysia sets only the properties of `context` that it finds in the text of this function. In minified text it
    // finds this form.
    exchange.route = context.route;
    const access = guard(exchange, request);
    if (access !== undefined) await access;
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

/** Throws AppError if there is no valid key, or if its role is too weak. */
function requireRole(exchange: Exchange, own: ApiKeyRole | undefined, role: ApiKeyRole): void {
  if (own === undefined) {
    throw new AppError(
      "unauthorized",
      "this API key is not valid here: it belongs to another environment, was removed, or has a typing error",
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
