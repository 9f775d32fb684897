/** Checks of policies for editors and CI: a policy is checked and tested like an upload, but not stored. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { checkPolicies } from "../../engine/workers/policy-checks.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { exchangeOf, holderOf, jsonResponse } from "../middleware/exchange.ts";

export function policyCheckRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  const checkPolicy = checkPolicies(limits);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.writeBodyBytesMax }))
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
