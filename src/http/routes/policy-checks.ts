/** Policies that are only asked about, for editors and CI: checked and tested as an upload would be, and nothing is stored. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import { PolicyChecks } from "../../engine/policy-checks.ts";
import type { Source } from "../../polar/source.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../access.ts";
import { exchangeOf, holderOf } from "../exchange.ts";
import { taking } from "../schema-error.ts";

export function policyCheckRoutes(node: Node, limits: Limits) {
  const checks = new PolicyChecks(limits);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.writeBodyBytesMax }))
    .post("/api/validate", ({ body, request }) => {
      const { sources } = takePolicy(body);
      const asked = { sources, runTests: false, coverage: false, storePath: node.engine().path };
      return checks.check(asked, holderOf(exchangeOf(request)));
    })
    .post("/api/test", ({ body, request }) => {
      const { sources, coverage } = takeTests(body);
      const asked = { sources, runTests: true, coverage, storePath: node.engine().path };
      return checks.check(asked, holderOf(exchangeOf(request)));
    });
}

/** One text, as `POST /api/policy` takes it, or several files that are one policy. */
const policyBody = z.object({
  src: z.string().optional(),
  filename: z.string().nullish(),
  files: z
    .array(z.object({ filename: z.string().min(1), src: z.string() }))
    .min(1)
    .optional(),
});

function withSources<Body extends z.output<typeof policyBody>>(
  body: Body,
  context: z.RefinementCtx,
): Body & { sources: Source[] } {
  const { src, filename, files } = body;
  if ((src === undefined) === (files === undefined)) {
    context.addIssue({ code: "custom", message: "must have either `src`, the text of the policy, or `files`" });
  }
  const sources = files?.map((file) => ({ name: file.filename, text: file.src })) ?? [
    { name: filename || "policy.polar", text: src ?? "" },
  ];
  return { ...body, sources };
}

const takePolicy = taking("body", policyBody.transform(withSources));
const takeTests = taking("body", policyBody.extend({ coverage: z.boolean().default(false) }).transform(withSources));
