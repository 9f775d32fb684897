/** The policy: read it, its declarations and its history, replace it, go back to an older one, check another one. */
import { Elysia, type Context } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { PolicyChecks } from "../../engine/workers/policy-checks.ts";
import type { Node, PolicyUpload, Writes } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { readAccess, writeAccess } from "../../http/middleware/access.ts";
import { exchangeOf, holderOf, jsonResponse } from "../../http/middleware/exchange.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import { validatingSchema } from "../../http/request/schema-error.ts";
import { writeResponse, writeMetaOf } from "../../http/write-response.ts";

export function policyReads(node: Node, limits: Limits, queries: QueryDispatcher) {
  return new Elysia()
    .use(readAccess(node, "read", limits.readBodyBytesMax))
    .get(
      "/api/policy",
      ({ query }) => {
        const policy = node.engine().policy(query.id ?? query.version);
        if (policy === null) return { policy };
        const { filename, source, parts } = policy;
        return { policy: { filename, src: source, ...(parts !== undefined && { parts }) } };
      },
      { query: policyQuery },
    )
    .get("/api/policy_history", ({ query }) => historyPage(node, query, limits), { query: historyQuery })
    .get(
      "/api/policy_metadata",
      async ({ query, request }) => {
        const id = query.id ?? query.version;
        const { resources } = await queries.ask("metadata", { id }, holderOf(exchangeOf(request)));
        if (resources === null)
          throw id === undefined ? new AppError("not_found", "no policy was loaded yet") : unknownPolicy(id);
        return { metadata: { resources } };
      },
      { query: policyQuery },
    )
    .get("/api/autocomplete_info", ({ request }) => queries.ask("suggestions", {}, holderOf(exchangeOf(request))));
}

const historyPageDefault = 100;

interface PageQuery {
  readonly page_size?: number | undefined;
  /** The id of the last version before the page. */
  readonly page_token?: number | undefined;
}

function historyPage(
  node: Node,
  { page_size: size = historyPageDefault, page_token: before }: PageQuery,
  limits: Limits,
) {
  const { versions, hasMore } = node.engine().policyHistory(Math.min(size, limits.policyHistoryPageMax), before);
  const last = versions.at(-1);
  return {
    versions: versions.map(({ id, active, filename, timeMs, author, message, source }) => {
      const time = new Date(timeMs).toISOString();
      return { id, active, filename, time, author, message, bytes: Buffer.byteLength(source) };
    }),
    ...(hasMore && last !== undefined && { next_page_token: String(last.id) }),
  };
}

/** A new policy is checked and tested before it becomes active; otherwise the old one stays. */
export function policyWrites(node: Node, writes: Writes, limits: Limits, bodies: BodyParser) {
  const load = async (upload: PolicyUpload, request: Request, set: Context["set"]): Promise<{ message: string }> => {
    const { filename, force } = upload;
    const { audited } = exchangeOf(request);
    exchangeOf(request).audited = { ...audited, details: { ...audited?.details, filename, force } };
    const result = await writes.policy(upload, writeMetaOf(request));
    // The status 202 tells clients that the policy was already active.
    if (result.unchanged) set.status = 202;
    // In a header, because clients of Oso Cloud expect no other member than `message`.
    if (result.policyId !== undefined) set.headers["Ostiary-Policy-Id"] = String(result.policyId);
    const message = result.unchanged ? "policy unchanged" : "policy loaded";
    return writeResponse(set, result, result.warning === undefined ? message : `${message}; ${result.warning}`);
  };
  return (
    new Elysia()
      .use(writeAccess(node, "write", limits.writeBodyBytesMax))
      .post(
        "/api/policy",
        async ({ body, query, request, set }) => {
          const { src, filename, message, parts } = await bodies.parse("policy", body);
          const upload = { source: src, filename: filename ?? null, force: query.force, message, parts };
          return load(upload, request, set);
        },
        {
          // `show_suggestions` and `fail_fast` have no effect: the response always has all problems, with hints.
          query: uploadQuery,
        },
      )
      // A rollback is an upload of the old source: the history is never rewritten.
      .post(
        "/api/policy_rollback",
        async ({ body, query, request, set }) => {
          const { id, message } = await bodies.parse("policyRollback", body);
          exchangeOf(request).audited = { details: { version: id } };
          const version = node.engine().policy(id);
          if (version === null) throw unknownPolicy(id);
          const { source, filename, parts } = version;
          const reason = `rollback to ${id}`;
          const whole = message ? `${reason}: ${message}` : reason;
          return load({ source, filename, force: query.force, message: whole, parts }, request, set);
        },
        { query: rollbackQuery },
      )
  );
}

/** Checks for editors and CI: a policy is checked and tested like an upload, but not stored. */
export function policyCheckRoutes(node: Node, limits: Limits, bodies: BodyParser, checks: PolicyChecks) {
  return new Elysia()
    .use(readAccess(node, "read", limits.writeBodyBytesMax))
    .post("/api/validate", async ({ body, request }) => {
      const { sources } = await bodies.parse("validate", body);
      const check = { sources, runTests: false, coverage: false, storePath: node.engine().path };
      return jsonResponse(await checks.check(check, holderOf(exchangeOf(request))));
    })
    .post("/api/test", async ({ body, request }) => {
      const { sources, coverage } = await bodies.parse("test", body);
      const check = { sources, runTests: true, coverage, storePath: node.engine().path };
      return jsonResponse(await checks.check(check, holderOf(exchangeOf(request))));
    })
    .post("/api/format", async ({ body, request }) => {
      const { sources } = await bodies.parse("validate", body);
      return jsonResponse(await checks.format(sources, holderOf(exchangeOf(request))));
    })
    .post("/api/explain_rules", async ({ body, request }) => {
      const { sources } = await bodies.parse("validate", body);
      return jsonResponse(await checks.explainRules(sources, holderOf(exchangeOf(request))));
    });
}

const versionNumber = z
  .string()
  .regex(/^\d{1,15}$/, { error: "must be the number of a policy" })
  .transform(Number)
  .optional();

// The documentation of Oso Cloud has `id`, the SDKs send `version`.
export const policyQuery = validatingSchema("query", z.object({ id: versionNumber, version: versionNumber }));

const pageSize = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, { error: "must be a whole number of at least 1" })
  .transform(Number)
  .optional();

function unknownPolicy(id: number): AppError {
  const message = `there is no policy \`${id}\`, \`GET /api/policy_history\` lists the versions`;
  return new AppError("not_found", message);
}

const flag = z
  .enum(["true", "false"])
  .default("false")
  .transform((text) => text === "true");

export const uploadQuery = validatingSchema(
  "query",
  z.object({ force: flag, show_suggestions: flag, fail_fast: flag }),
);
export const rollbackQuery = validatingSchema("query", z.object({ force: flag }));
export const historyQuery = validatingSchema("query", z.object({ page_size: pageSize, page_token: versionNumber }));
