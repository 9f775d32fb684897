/**
 * Environments, for administrators of the appliance: holders of an admin key of the default environment, and people with
 * the role `admin` there. Keys of the other (hosted) environments administer only their own one.
 */
import type { Node } from "../../replication/node.ts";
import type { EnvironmentInfo, Environments } from "../../http/environments.ts";
import { auditDraftOf } from "../../http/middleware/audit.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import type { Handlers } from "../../http/router.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import type { environmentEndpoints } from "./endpoints.ts";

/** Returns the API key of a new environment of `ostiary dev`: empty, or a copy of the default one. */
export type CreateTestEnvironment = (isCopy: boolean) => Promise<string>;

export function handleEnvironments(
  node: Node,
  environments: Environments | undefined,
  createTestEnvironment: CreateTestEnvironment | undefined,
): Handlers<typeof environmentEndpoints> {
  return {
    getEnvironments: () => {
      const untilMs = present(environments).incompleteUntilMs();
      return {
        environments: present(environments).list().map(described),
        complete: untilMs === undefined,
        ...(untilMs !== undefined && { incomplete_until: timeText(untilMs) }),
      };
    },
    postEnvironment: async ({ body: wanted, request }) => {
      const { id, name, copyOf, again } = wanted;
      const details = { name, ...(copyOf !== undefined && { copy_of: copyOf }), ...(again && { again }) };
      exchangeOf(request).audited = { target: id, details };
      const { info, token } = await present(environments).create(wanted);
      recordDone(node, request);
      return { id: info.id, name: info.name, token, message: keepToken, created: createdText(info.createdMs) };
    },
    postEnvironmentsComplete: async ({ request }) => {
      await present(environments).complete();
      recordDone(node, request);
      return { complete: true as const, message: "the list of environments is complete" };
    },
    patchEnvironment: async ({ body: { name }, params: { id }, request }) => {
      exchangeOf(request).audited = { target: id, details: { name } };
      await present(environments).rename(id, name);
      recordDone(node, request);
      return { id, name, message: "environment renamed" };
    },
    deleteEnvironment: async ({ params: { id }, request }) => {
      if (id === node.environment) throw new AppError("conflict", "the default environment cannot be deleted");
      const final = timeText((await present(environments).delete(id)).finalMs);
      recordDone(node, request);
      return { id, final, message: `environment deleted, it can be restored until ${final}` };
    },
    restoreEnvironment: async ({ params: { id }, request }) => {
      await present(environments).restore(id);
      recordDone(node, request);
      return { id, message: "environment restored" };
    },
    abandonEnvironment: async ({ params: { id }, request }) => {
      await present(environments).abandon(id);
      recordDone(node, request);
      return { id, message: "environment abandoned" };
    },
    postEnvironmentKey: async ({ params: { id }, request }) => {
      const exchange = exchangeOf(request);
      const { keyId, token } = await present(environments).createKey(id, exchange.requestId);
      exchange.audited = { target: id, details: { key: keyId } };
      recordDone(node, request);
      return { id, token, message: keepToken };
    },
    // Outside of `/api` and without a key, as in the official development server.
    postTestEnvironment:
      createTestEnvironment && (async ({ query }) => ({ token: await createTestEnvironment(query.copy === "true") })),
  };
}

const keepToken = "keep the token, it is not shown again";

function present(environments: Environments | undefined): Environments {
  if (environments !== undefined) return environments;
  throw new AppError("not_found", "this node serves only one environment");
}

/** The registry of environments is no part of this environment, so its audit log gets an entry without an event. */
function recordDone(node: Node, request: Request): void {
  const draft = auditDraftOf(exchangeOf(request));
  if (draft !== undefined) node.audit.record(draft);
}

function described({ id, name, createdMs, isDefault, deletedMs, finalMs, here, failure }: EnvironmentInfo) {
  return {
    ...{ id, name, created: createdText(createdMs) },
    state: deletedMs === undefined ? ("active" as const) : ("deleted" as const),
    ...(isDefault && { is_default: true as const }),
    ...(deletedMs !== undefined && { deleted: timeText(deletedMs) }),
    ...(finalMs !== undefined && { final: timeText(finalMs) }),
    ...(here !== undefined && { role: here.role, offset: here.offset, ready: here.isReady }),
    ...(failure !== undefined && { ready: false, failure: clip(failure, reasonCharactersMax) }),
  };
}

/** Null for the default environment. */
function createdText(ms: number | undefined): string | null {
  return ms === undefined ? null : timeText(ms);
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

const reasonCharactersMax = 300;
