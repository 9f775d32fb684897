/**
 * Authentication and access control of all endpoints but those that are open to everybody. A guard checks the API key or
 * the token of a person, the role and the required consistency; the body is read only after that.
 */
import { LRUCache } from "lru-cache";
import { authenticate } from "../../engine/authenticate.ts";
import type { ApiKeyRole } from "../../log/event/event.ts";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { isExpired, type KeySecret } from "../../store/keys/key-grant.ts";
import type { People, Person } from "../oidc/people.ts";
import { type Endpoint, momentHeader } from "../endpoint.ts";
import type { RequestKind } from "../request/request-limits.ts";
import { holderOf, markDecoded, type Exchange } from "./exchange.ts";
import { type FindKey, principalOf, type KeyPrincipal, type Principal } from "./principal.ts";

/** Throws AppError if a request is refused; returns a promise if the request has to wait first. */
type Guard = (exchange: Exchange, request: Request) => Promise<void> | undefined;

/** The guard of an endpoint that is not open to everybody, as its declaration says. */
export function guardOf(node: Node, { kind, weighs, requiresJson }: Endpoint, role: ApiKeyRole): Guard {
  if (kind === "write" || weighs === "as-write") return writeGuard(node, role);
  if (kind === "node") return countedGuard(role, "read");
  const guard = readGuard(node, role);
  return requiresJson === true
    ? (exchange, request) => afterGuard(guard(exchange, request), () => requireJson(request))
    : guard;
}

function afterGuard(guarded: Promise<void> | undefined, check: () => undefined): Promise<void> | undefined {
  return guarded === undefined ? check() : guarded.then(() => check());
}

function requireJson(request: Request): undefined {
  const [type = ""] = (request.headers.get("content-type") ?? "").split(";");
  if (type.trim().toLowerCase() !== "application/json")
    throw new AppError("invalid_request", "the header `Content-Type` must be `application/json`");
}

/**
 * Guards reads: they need a key with `role` or a stronger one, and a database that has reached the position of the
 * client's consistency token.
 */
export function readGuard(node: Node, role: ApiKeyRole): Guard {
  const [guard, counted] = [principalGuard(role), countedGuard(role, "read")];
  return (exchange, request) => {
    // An event that the request waits for can remove the key.
    const wait = (): Promise<void> | undefined =>
      requireConsistency(node, request)?.then(() => guard(exchange, request));
    const admission = counted(exchange, request);
    return admission === undefined ? wait() : admission.then(wait);
  };
}

/** As `principalGuard`, and counts the request of the admitted sender. */
function countedGuard(role: ApiKeyRole, kind: RequestKind): Guard {
  const guard = principalGuard(role);
  return (exchange, request) => {
    const admission = guard(exchange, request);
    if (admission !== undefined) return admission.then(() => countRequest(exchange, kind));
    countRequest(exchange, kind);
    return undefined;
  };
}

/** Admits an API key or a person with `role` or a stronger one. An API key, or a token that is known, needs no waiting. */
function principalGuard(role: ApiKeyRole): Guard {
  return (exchange, request) => {
    const authorization = authorizationOf(request);
    const person = findPerson(exchange, request, authorization);
    if (person instanceof Promise) return person.then((found) => admit(exchange, found, role));
    admit(exchange, person ?? exchange.parts.findKey(authorization), role);
    return undefined;
  };
}

/**
 * Undefined if the header has an API key, or the node has no issuer. A JWT has dots, an API key has none and begins with
 * `e_`.
 */
function findPerson(
  { parts: { people, isHosted }, node: { environment } }: Exchange,
  request: Request,
  authorization: string,
): Person | Promise<Person> | undefined {
  if (people === undefined || authorization.startsWith("Bearer e_") || !authorization.includes(".")) return undefined;
  const [token, wanted] = [bearerIn(authorization), request.headers.get(environmentHeader)];
  // A token is for all environments, so it must not act in another one than the person means.
  if (wanted !== null && wanted !== environment) return refuseEnvironment(people, token, wanted);
  return people.find(token, { environment, isHosted });
}

/** Nobody without a role in an environment learns whether the node has it: the refusal is the same. */
async function refuseEnvironment(people: People, token: string, environment: string): Promise<never> {
  await people.find(token, { environment, isHosted: true });
  throw new AppError(
    "unauthorized",
    `this node has no environment \`${clip(environment, 64)}\` (\`Ostiary-Environment\`)`,
  );
}

/** The header that names the environment that a person means; an API key belongs to one. */
export const environmentHeader = "ostiary-environment";

/** An answer about the present would be taken for one about the moment. */
export function refuseMoment({ hasMoment, path }: Endpoint, request: Request): void {
  if (hasMoment === true || !request.headers.has(momentHeader)) return;
  throw new AppError(
    "invalid_request",
    `\`${path}\` knows no earlier moments: leave out the header \`${momentHeader}\``,
  );
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

/** Guards writes like reads, but without a consistency token: a write follows all events that a client may have. */
function writeGuard(node: Node, role: ApiKeyRole): Guard {
  const guard = countedGuard(role, "write");
  const requireHistory = (request: Request): undefined => {
    // An edge sends its history with a write. A primary with another one was started on an empty directory.
    const history = request.headers.get("ostiary-history");
    if (history !== null && node.writes !== undefined && history !== node.writes.history)
      throw new AppError(
        "not_ready",
        "the primary has another history than the node that forwarded the write, nothing was written",
      );
  };
  return (exchange, request) => afterGuard(guard(exchange, request), () => requireHistory(request));
}

/**
 * Guards writes that an edge forwards, and counts them. The edge checks the key before it reads the body, and the primary
 * checks it again. A key that the edge does not know can be newer than its database, so the edge looks it up at the
 * primary; only that one counts its writes.
 */
export function forwardGuard(node: Node): (exchange: Exchange, request: Request, role: ApiKeyRole) => Promise<void> {
  return async (exchange, request, role) => {
    const authorization = authorizationOf(request);
    const person = await findPerson(exchange, request, authorization);
    const known = person ?? ifReady(() => exchange.parts.findKey(authorization));
    if (known !== undefined || node.lookUpKey === undefined) {
      admit(exchange, known, role);
      return countRequest(exchange, "write");
    }
    const found = await node.lookUpKey(bearerIn(authorization));
    if (found !== "unchecked") requireRole(exchange, found === "unknown" ? undefined : found, role);
  };
}

/**
 * Whether a node has this API key, an expired one included. Undefined if it cannot say that, because it has no database.
 * For a request that it would forward, an edge asks the primary. `findKey` is `apiKeyFinder`, or a part of it.
 */
export function knowsKey(
  { lookUpKey }: Pick<Node, "lookUpKey">,
  findKey: (authorization: string) => unknown,
  authorization: string,
  isForwarded: () => boolean,
): boolean | undefined | Promise<boolean> {
  let known: boolean | undefined;
  try {
    known = findKey(authorization) !== undefined;
  } catch (error) {
    if (error instanceof AppError && error.code === "unauthorized") return true;
  }
  if (known === true || lookUpKey === undefined || !isForwarded()) return known;
  // If the primary cannot be asked, the environment itself says so.
  return lookUpKey(bearerIn(authorization)).then(
    (found) => found !== "unknown",
    () => true,
  );
}

/** Whether the header has an API key, and not the token of a person. */
export function isApiKey(authorization: string): boolean {
  return authorization.startsWith("e_", authorization.lastIndexOf(" ") + 1);
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

/** Returns a function that reads the body of a request as a value that `BodyParser` parses; undefined if it has none. */
export function bodyReader({ kind, weighs }: Endpoint, limits: Limits) {
  const isLarge = kind === "write" || weighs !== undefined;
  const bytesMax = isLarge ? limits.writeBodyBytesMax : limits.readBodyBytesMax;
  return async (exchange: Exchange, request: Request): Promise<unknown> => {
    const body = bodiless.has(exchange.method)
      ? undefined
      : await exchange.parts.bodies.readJson(exchange, request, bytesMax);
    markDecoded(exchange);
    return body;
  };
}

const bodiless: ReadonlySet<string> = new Set(["GET", "HEAD"]);

const rank: Readonly<Record<ApiKeyRole, number>> = { read: 1, write: 2, admin: 3 };

function admit(exchange: Exchange, principal: Principal | undefined, role: ApiKeyRole): void {
  // First, so that the audit log names the sender of a refused request.
  exchange.principal = principal;
  requireRole(exchange, principal?.role, role, principal?.kind);
}

/** Throws AppError if the sender, or all keys together, have too many requests. */
function countRequest(exchange: Exchange, kind: RequestKind): void {
  exchange.release = exchange.parts.requestLimits?.admit(holderOf(exchange), kind);
}

/** Throws AppError if there is no valid key, or if its role is too weak. */
function requireRole(
  exchange: Exchange,
  own: ApiKeyRole | undefined,
  role: ApiKeyRole,
  kind: Principal["kind"] = "key",
): void {
  if (own === undefined) {
    throw new AppError(
      "unauthorized",
      "this API key is not valid here: it belongs to another environment, was removed, or has a typing error",
    );
  }
  if (rank[own] < rank[role]) {
    const accepted = Object.entries(rank).filter(([, each]) => each >= rank[role]);
    const roles = accepted.map(([name]) => `\`${name}\``).join(" or ");
    const sender = kind === "key" ? "API key" : kind;
    throw new AppError(
      "forbidden",
      `this ${sender} may only \`${own}\`, \`${exchange.method} ${exchange.route}\` needs a ${kind} with the role ${roles}`,
    );
  }
}

/**
 * Returns a function that finds the valid API key of an `Authorization` header, and records its use. It throws
 * `unauthorized` if the header has no key, or if the key has expired by the clock of this node. Valid keys are cached at
 * the present position of the node's database, because hashing and finding a key costs a request 4 µs. The next event,
 * which can be the removal of a key, clears the cache. All routes of a node share it: an empty one takes 34 KB.
 */
export function apiKeyFinder(node: Node): FindKey {
  const valid = new LRUCache<string, KeyPrincipal>({ max: cachedKeysMax });
  let validAt: ReturnType<Node["state"]>;
  return (authorization) => {
    // INVARIANT: the state is read before the database, so no key is cached under a newer state than its own.
    const state = node.state();
    if (state !== validAt) {
      valid.clear();
      validAt = state;
    }
    const nowMs = node.clock.wallMs();
    const known = valid.get(authorization);
    if (known !== undefined && !isExpired(known, nowMs)) {
      node.keyUses.record(known.id, nowMs);
      return known;
    }
    const secret = authenticate(node.engine(), bearerIn(authorization));
    if (secret === undefined) return undefined;
    if (isExpired(secret, nowMs)) throw expired(secret);
    const principal = principalOf(secret);
    if (authorization.length <= cachedLengthMax) valid.set(authorization, principal);
    node.keyUses.record(principal.id, nowMs);
    return principal;
  };
}

function expired({ expiresMs = 0, isReplaced }: KeySecret): AppError {
  const at = new Date(expiresMs).toISOString();
  const problem =
    isReplaced === true
      ? `this secret of the API key was replaced and expired at ${at}: use the new one`
      : `this API key expired at ${at}: ask an administrator for another one`;
  return new AppError("unauthorized", problem);
}

const cachedKeysMax = 1000;
/** A header can have any number of spaces around the key. */
const cachedLengthMax = 600;

/** Returns the `Authorization` header. Throws `unauthorized` if it is missing. */
export function authorizationOf(request: Request): string {
  const header = request.headers.get("authorization");
  if (!header) throw new AppError("unauthorized", "no API key was sent, send it as `Authorization: Bearer <key>`");
  return header;
}

/** Returns the API key in the header. Throws `unauthorized` if the header has another scheme. */
export function bearerIn(authorization: string): string {
  const space = authorization.indexOf(" ");
  if (authorization.slice(0, space).toLowerCase() !== "bearer") {
    throw new AppError("unauthorized", "the `Authorization` header must be `Bearer <key>`");
  }
  return authorization.slice(space + 1).trim();
}
