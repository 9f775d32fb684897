/** The policy: read it, read its declarations, replace it, check another one. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import { checkPolicies } from "../../engine/workers/policy-checks.ts";
import type { Node, Writes } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import { exchangeOf, holderOf, jsonResponse } from "../middleware/exchange.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { validatingSchema } from "../request/schema-error.ts";
import { writeResponse, writeMetaOf } from "./write-response.ts";

export function policyReads(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, "read", limits.readBodyBytesMax))
    .get(
      "/api/policy",
      ({ query }) => {
        const policy = node.engine().policy(query.id);
        return { policy: policy === null ? null : { filename: policy.filename, src: policy.source } };
      },
      { query: policyQuery },
    )
    .get(
      "/api/policy_metadata",
      ({ query }) => {
        const id = query.id ?? query.version;
        const resources = node.engine().metadata(id);
        if (resources === null)
          throw new AppError(
            "not_found",
            id === undefined ? "no policy was loaded yet" : `there is no policy \`${id}\``,
          );
        return { metadata: { resources } };
      },
      // The documentation of Oso Cloud has `id`, the SDKs send `version`.
      { query: metadataQuery },
    );
}

/** A new policy is checked and tested before it becomes active; otherwise the old one stays. */
export function policyWrites(node: Node, writes: Writes, limits: Limits, bodies: BodyParser) {
  return new Elysia().use(writeAccess(node, "write", limits.writeBodyBytesMax)).post(
    "/api/policy",
    async ({ body, query, request, set }) => {
      const { src, filename } = await bodies.parse("policy", body);
      const upload = { source: src, filename: filename ?? null, force: query.force };
      const result = await writes.policy(upload, writeMetaOf(request));
      // The status 202 tells clients that the policy was already active.
      if (result.unchanged) set.status = 202;
      const message = result.unchanged ? "policy unchanged" : "policy loaded";
      return writeResponse(set, result, result.warning === undefined ? message : `${message}; ${result.warning}`);
    },
    {
      // `show_suggestions` and `fail_fast` have no effect: the response always has all problems, with hints.
      query: uploadQuery,
    },
  );
}

/** Checks for editors and CI: a policy is checked and tested like an upload, but not stored. */
export function policyCheckRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  const checkPolicy = checkPolicies(limits);
  return new Elysia()
    .use(readAccess(node, "read", limits.writeBodyBytesMax))
    .post("/api/validate", async ({ body, request }) => {
      const { sources } = await bodies.parse("validate", body);
      const check = { sources, runTests: false, coverage: false, storePath: node.engine().path };
      return jsonResponse(await checkPolicy(check, holderOf(exchangeOf(request))));
    })
    .post("/api/test", async ({ body, request }) => {
      const { sources, coverage } = await bodies.parse("test", body);
      const check = { sources, runTests: true, coverage, storePath: node.engine().path };
      return jsonResponse(await checkPolicy(check, holderOf(exchangeOf(request))));
    });
}

const versionNumber = z
  .string()
  .regex(/^\d{1,15}$/, { error: "must be the number of a policy" })
  .transform(Number)
  .optional();

const flag = z
  .enum(["true", "false"])
  .default("false")
  .transform((text) => text === "true");

export const policyQuery = validatingSchema("query", z.object({ id: versionNumber }));
export const metadataQuery = validatingSchema("query", z.object({ id: versionNumber, version: versionNumber }));
export const uploadQuery = validatingSchema(
  "query",
  z.object({ force: flag, show_suggestions: flag, fail_fast: flag }),
);
