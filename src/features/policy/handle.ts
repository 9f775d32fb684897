/** The policy: read it, its declarations and its history, replace it, go back to an older one, check another one. */
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import { exchangeOf, holderOf, jsonResponse } from "../../http/middleware/exchange.ts";
import type { Call, Handlers } from "../../http/router.ts";
import { writeMetaOf, writeResponse, writesOf } from "../../http/write-response.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import type { PolicyUpload } from "../../log/append/append.ts";
import { type EffectParts, policyEffect } from "./effect.ts";
import type { policyEndpoints } from "./endpoints.ts";

export interface PolicyParts extends EffectParts {
  readonly queries: QueryDispatcher;
}

/** A new policy is checked and tested before it becomes active; otherwise the old one stays. */
export function handlePolicy(node: Node, limits: Limits, parts: PolicyParts): Handlers<typeof policyEndpoints> {
  const { queries, checks } = parts;
  const load = async (upload: PolicyUpload, { request, set }: Pick<Call, "request" | "set">) => {
    const { filename, force } = upload;
    const { audited } = exchangeOf(request);
    exchangeOf(request).audited = { ...audited, details: { ...audited?.details, filename, force } };
    const result = await writesOf(node).policy(upload, writeMetaOf(request));
    // The status 202 tells clients that the policy was already active.
    if (result.unchanged) set.status = 202;
    // In a header, because clients of Oso Cloud expect no other member than `message`.
    if (result.policyId !== undefined) set.headers["Ostiary-Policy-Id"] = String(result.policyId);
    const message = result.unchanged ? "policy unchanged" : "policy loaded";
    return writeResponse(set, result, result.warning === undefined ? message : `${message}; ${result.warning}`);
  };
  return {
    getPolicy: ({ query }) => {
      const policy = node.engine().policy(query.id ?? query.version);
      if (policy === null) return { policy };
      const { filename, source, parts: files } = policy;
      return { policy: { filename, src: source, ...(files !== undefined && { parts: files }) } };
    },
    getPolicyHistory: ({ query }) => historyPage(node, query, limits),
    getPolicyMetadata: async ({ query, request }) => {
      const id = query.id ?? query.version;
      const { resources } = await queries.ask("metadata", { id }, holderOf(exchangeOf(request)));
      if (resources === null)
        throw id === undefined ? new AppError("not_found", "no policy was loaded yet") : unknownPolicy(id);
      return { metadata: { resources } };
    },
    getPolicyModel: async ({ query: { id }, request }) => {
      const policy = node.engine().policy(id);
      if (policy === null)
        throw id === undefined ? new AppError("not_found", "no policy was loaded yet") : unknownPolicy(id);
      // Of the same name as in explanations.
      const sources = [{ name: policy.filename ?? "policy.polar", text: policy.source }];
      return jsonResponse(await checks.model(sources, holderOf(exchangeOf(request))));
    },
    getAutocompleteInfo: ({ request }) => queries.ask("suggestions", {}, holderOf(exchangeOf(request))),
    postPolicy: ({ body: { src, filename = null, message, parts: files }, query: { force, replaces }, request, set }) =>
      load({ source: src, filename, force, replaces, message, parts: files }, { request, set }),
    // A rollback is an upload of the old source: the history is never rewritten.
    postPolicyRollback: ({ body: { id, message }, query: { force, replaces }, request, set }) => {
      exchangeOf(request).audited = { details: { version: id } };
      const version = node.engine().policy(id);
      if (version === null) throw unknownPolicy(id);
      const { source, filename, parts: files } = version;
      const reason = `rollback to ${id}`;
      const whole = message ? `${reason}: ${message}` : reason;
      return load({ source, filename, force, replaces, message: whole, parts: files }, { request, set });
    },
    validatePolicy: async ({ body: { sources }, request }) => {
      const check = { sources, runTests: false, coverage: false, storePath: node.engine().path };
      return jsonResponse(await checks.check(check, holderOf(exchangeOf(request))));
    },
    testPolicy: async ({ body: { sources, coverage }, request }) => {
      const check = { sources, runTests: true, coverage, storePath: node.engine().path };
      return jsonResponse(await checks.check(check, holderOf(exchangeOf(request))));
    },
    formatPolicy: async ({ body: { sources }, request }) =>
      jsonResponse(await checks.format(sources, holderOf(exchangeOf(request)))),
    explainRules: async ({ body: { sources }, request }) =>
      jsonResponse(await checks.explainRules(sources, holderOf(exchangeOf(request)))),
    policyQuestion: async ({ body: { sources, question }, request }) =>
      jsonResponse(
        await checks.question({ sources, question, storePath: node.engine().path }, holderOf(exchangeOf(request))),
      ),
    policyEffect: ({ body, request }) => policyEffect(node, parts, body, request),
  };
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

function unknownPolicy(id: number): AppError {
  const message = `there is no policy \`${id}\`, \`GET /api/policy_history\` lists the versions`;
  return new AppError("not_found", message);
}
