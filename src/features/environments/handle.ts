/**
 * Environments, for administrators of the appliance: holders of an admin key of the default environment, and people with
 * the role `admin` there. Keys of the other (hosted) environments administer only their own one.
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { Node, PromoteOptions, PromotionPreview } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { forwardGuard, keyAccess, writeAccess } from "../../http/middleware/access.ts";
import { auditDraftOf } from "../../http/middleware/audit.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";

export interface EnvironmentInfo {
  readonly id: string;
  readonly name: string;
  /** Undefined for the default environment. */
  readonly createdMs: number | undefined;
  readonly isDefault: boolean;
  /** Only of a deleted environment. */
  readonly deletedMs?: number | undefined;
  /** When the deletion becomes final, if the primary runs all the time until then. */
  readonly finalMs?: number | undefined;
  /** Undefined if this node does not follow the environment. */
  readonly here?:
    | {
        readonly role: "primary" | "edge" | "fallback";
        readonly offset: number | null;
        readonly isReady: boolean;
      }
    | undefined;
  /** Why this node cannot start the environment, which it tries again, or that its data never arrived. */
  readonly failure?: string | undefined;
}

export interface EnvironmentRequest {
  readonly id: string;
  readonly name: string;
  readonly copyOf: string | undefined;
  /** Whether it may take the place of an environment whose data never arrived. */
  readonly again: boolean;
}

/**
 * All environments of the appliance. A change that resolves is acknowledged by as many edges as a write. AppError
 * `not_ready` with `mayBeDone`: it is done here, and the same request again waits for them.
 */
export interface Environments {
  /** AppError `not_ready` while the node starts, and has not read which environments there are. */
  list(): readonly EnvironmentInfo[];
  /** AppError `conflict`, `not_found` (`copyOf`), `not_ready`. */
  create(request: EnvironmentRequest): Promise<{ readonly info: EnvironmentInfo; readonly token: string }>;
  /** Forgets an environment whose data never arrived at this node. AppError `not_found`, `conflict`, `not_ready`. */
  abandon(id: string): Promise<void>;
  /** AppError `not_found`, `not_ready`. */
  rename(id: string, name: string): Promise<void>;
  /** AppError `not_found`, `conflict`, `not_ready`. */
  delete(id: string): Promise<{ readonly finalMs: number }>;
  /** AppError `not_found`, `conflict`, `not_ready`. */
  restore(id: string): Promise<void>;
  /**
   * Makes another admin key of the environment, whose own audit log gets an entry with this request id, but without the
   * administrator. AppError `not_found`, `conflict` (the default environment), `invalid_request` (too many keys), `not_ready`.
   */
  createKey(id: string, requestId: string): Promise<{ readonly keyId: string; readonly token: string }>;
  /**
   * A backup of an environment, or with the id `environments-` of the list of environments. Its own audit log gets an entry
   * with this request id, but without the administrator. AppError `not_found`, and those of `Node.backup`.
   */
  backUp(id: string, requestId: string): Promise<Response>;
  /** Says that there are no other environments than those of the list. AppError `not_ready`. */
  complete(): Promise<void>;
  /** Until when there may be others, in ms since 1970; undefined if the list has all. */
  incompleteUntilMs(): number | undefined;
  /** Promotes this node for the environments besides the default one. Returns those that failed. */
  promoteOthers(options: PromoteOptions): Promise<readonly { readonly id: string; readonly reason: string }[]>;
  /** What `promoteOthers` would do now, for each environment of which this node is an edge or a replaced primary. */
  previewOthers(options: PromoteOptions): Promise<readonly (readonly [id: string, preview: OtherPreview])[]>;
}

/** What is shown of a promotion in an environment besides the default one. */
export type OtherPreview = Pick<PromotionPreview, "reasons" | "warnings" | "missingEvents" | "lostEvents">;

/** The routes that a node answers whatever its role. */
export function environmentReads(environments: Environments | undefined, limits: Limits) {
  return new Elysia().use(keyAccess("admin", limits.readBodyBytesMax)).get("/api/environments", () => {
    const untilMs = present(environments).incompleteUntilMs();
    return {
      environments: present(environments).list().map(described),
      complete: untilMs === undefined,
      ...(untilMs !== undefined && { incomplete_until: timeText(untilMs) }),
    };
  });
}

/** The routes of a primary. Others forward or refuse them (`write-forwarding.ts`). */
export function environmentWrites(
  node: Node,
  environments: Environments | undefined,
  limits: Limits,
  bodies: BodyParser,
) {
  return new Elysia()
    .use(writeAccess(node, "admin", limits.writeBodyBytesMax))
    .post("/api/environments", async ({ body, request }) => {
      const wanted = await bodies.parse("environment", body);
      const { id, name, copyOf, again } = wanted;
      const details = { name, ...(copyOf !== undefined && { copy_of: copyOf }), ...(again && { again }) };
      exchangeOf(request).audited = { target: id, details };
      const { info, token } = await present(environments).create(wanted);
      recordDone(node, request);
      return { id: info.id, name: info.name, token, message: keepToken, created: timeText(info.createdMs) };
    })
    .post("/api/environments/complete", async ({ body, request }) => {
      await bodies.parse("nothing", body);
      await present(environments).complete();
      recordDone(node, request);
      return { complete: true, message: "the list of environments is complete" };
    })
    .patch("/api/environments/:id", async ({ body, params, request }) => {
      const id = idIn(params.id);
      exchangeOf(request).audited = { target: id };
      const { name } = await bodies.parse("renameEnvironment", body);
      exchangeOf(request).audited = { target: id, details: { name } };
      await present(environments).rename(id, name);
      recordDone(node, request);
      return { id, name, message: "environment renamed" };
    })
    .delete("/api/environments/:id", async ({ body, params, request }) => {
      const id = idIn(params.id);
      exchangeOf(request).audited = { target: id };
      await bodies.parse("nothing", body);
      if (id === node.environment) throw new AppError("conflict", "the default environment cannot be deleted");
      const final = timeText((await present(environments).delete(id)).finalMs);
      recordDone(node, request);
      return { id, final, message: `environment deleted, it can be restored until ${final}` };
    })
    .post("/api/environments/:id/restore", async ({ body, params, request }) => {
      const id = idIn(params.id);
      exchangeOf(request).audited = { target: id };
      await bodies.parse("nothing", body);
      await present(environments).restore(id);
      recordDone(node, request);
      return { id, message: "environment restored" };
    })
    .post("/api/environments/:id/abandon", async ({ body, params, request }) => {
      const id = idIn(params.id);
      exchangeOf(request).audited = { target: id };
      await bodies.parse("nothing", body);
      await present(environments).abandon(id);
      recordDone(node, request);
      return { id, message: "environment abandoned" };
    })
    .post("/api/environments/:id/keys", async ({ body, params, request }) => {
      const id = idIn(params.id);
      const exchange = exchangeOf(request);
      exchange.audited = { target: id };
      await bodies.parse("nothing", body);
      const { keyId, token } = await present(environments).createKey(id, exchange.requestId);
      exchange.audited = { target: id, details: { key: keyId } };
      recordDone(node, request);
      return { id, token, message: keepToken };
    });
}

const keepToken = "keep the token, it is not shown again";

const ofPromotions =
  "a promotion is one of all environments of the node, so it needs an admin key of the default environment";
const ofEnvironments = "environments are administered with an admin key of the default environment";

/** Routes that concern the whole appliance, with the reason why a hosted environment refuses them. */
const applianceRoutes = [
  ["GET", "/api/environments", ofEnvironments],
  ["POST", "/api/environments", ofEnvironments],
  ["POST", "/api/environments/complete", ofEnvironments],
  ["PATCH", "/api/environments/:id", ofEnvironments],
  ["DELETE", "/api/environments/:id", ofEnvironments],
  ["POST", "/api/environments/:id/restore", ofEnvironments],
  ["POST", "/api/environments/:id/abandon", ofEnvironments],
  ["POST", "/api/environments/:id/keys", ofEnvironments],
  ["GET", "/metrics", "metrics are those of all environments, so they need a key of the default environment"],
  ["GET", "/api/promote", ofPromotions],
  ["POST", "/api/promote", ofPromotions],
] as const;

/** These routes in a hosted environment. Only valid keys learn that this is one. */
export function refusedApplianceRoutes(node: Node) {
  const requireKey = forwardGuard(node);
  const routes = new Elysia();
  for (const [method, path, reason] of applianceRoutes) {
    const refuse = async ({ request, route }: { request: Request; route: string }): Promise<never> => {
      const exchange = exchangeOf(request);
      exchange.route = route;
      await requireKey(exchange, request, "read");
      throw new AppError("forbidden", reason);
    };
    routes.route(method, path, async ({ request, route }) => refuse({ request, route }), { parse: "none" });
  }
  return routes;
}

function present(environments: Environments | undefined): Environments {
  if (environments !== undefined) return environments;
  throw new AppError("not_found", "this node serves only one environment");
}

/** Elysia gives null for a path parameter with malformed percent-encoding. */
function idIn(id: string | null): string {
  if (id === null)
    throw new AppError("invalid_request", "the id of the environment in the path is not percent-encoded UTF-8");
  return id;
}

/** The registry of environments is no part of this environment, so its audit log gets an entry without an event. */
function recordDone(node: Node, request: Request): void {
  const draft = auditDraftOf(exchangeOf(request));
  if (draft !== undefined) node.audit.record(draft);
}

function described({ id, name, createdMs, isDefault, deletedMs, finalMs, here, failure }: EnvironmentInfo) {
  return {
    ...{ id, name, created: timeText(createdMs), state: deletedMs === undefined ? "active" : "deleted" },
    ...(isDefault && { is_default: true }),
    ...(deletedMs !== undefined && { deleted: timeText(deletedMs) }),
    ...(finalMs !== undefined && { final: timeText(finalMs) }),
    ...(here !== undefined && { role: here.role, offset: here.offset, ready: here.isReady }),
    ...(failure !== undefined && { ready: false, failure: clip(failure, reasonCharactersMax) }),
  };
}

function timeText(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}

/** The failures of `promoteOthers` as members of a response; none without failures. */
export async function promoteOthers(environments: Environments | undefined, options: PromoteOptions) {
  const failed = (await environments?.promoteOthers(options)) ?? [];
  if (failed.length === 0) return undefined;
  return failed.map(({ id, reason }) => ({ id, reason: clip(reason, reasonCharactersMax) }));
}

const reasonCharactersMax = 300;
