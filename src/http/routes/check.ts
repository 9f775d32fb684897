/** Questions about one actor: may it, on what may it, what may it. Answers have the documented keys and no others: some clients insist. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { Answers } from "../../engine/node-answers.ts";
import type { AuthorizeQuestion, ResourcesQuestion } from "../../engine/questions.ts";
import type { Node } from "../../replication/node.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { readAccess } from "../access.ts";
import { ListPages } from "../list-pages.ts";
import { refusing } from "../schema-error.ts";
import { wire } from "../wire.ts";

export function checkRoutes(node: Node, limits: Limits, answers: Answers) {
  const bodies = checkBodies(limits);
  const pages = new ListPages(node, limits, answers);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post(
      "/api/authorize",
      async ({ body }) => {
        const allowed = await answers.ask("authorize", authorizeQuestion(body));
        metrics.decisions.inc({ result: allowed ? "allow" : "deny" });
        return { allowed };
      },
      { body: refusing("body", bodies.authorize) },
    )
    .post(
      "/api/authorize_resources",
      async ({ body }) => ({ results: await answers.ask("authorizeResources", resourcesQuestion(body)) }),
      { body: refusing("body", bodies.authorizeResources) },
    )
    .post("/api/list", ({ body }) => list(answers, limits, pages, body), { body: refusing("body", bodies.list) })
    .post(
      "/api/actions",
      async ({ body }) => ({
        results: await answers.ask("actions", {
          actor: { type: body.actor_type, id: body.actor_id },
          resource: { type: body.resource_type, id: body.resource_id },
          contextFacts: body.context_facts,
        }),
      }),
      { body: refusing("body", bodies.actions) },
    );
}

/** May the actor do the action on the resource? */
export function authorizeBody(limits: Limits) {
  const { name, contextFacts } = wire(limits);
  return z.object({
    actor_type: name,
    actor_id: name,
    action: name,
    resource_type: name,
    resource_id: name,
    context_facts: contextFacts,
  });
}

export function authorizeQuestion(body: z.output<ReturnType<typeof authorizeBody>>): AuthorizeQuestion {
  return {
    actor: { type: body.actor_type, id: body.actor_id },
    action: body.action,
    resource: { type: body.resource_type, id: body.resource_id },
    contextFacts: body.context_facts,
  };
}

function checkBodies(limits: Limits) {
  const { name, value, contextFacts } = wire(limits);
  const actor = { actor_type: name, actor_id: name };
  const resource = { resource_type: name, resource_id: name };
  return {
    authorize: authorizeBody(limits),
    authorizeResources: z.object({
      ...actor,
      action: name,
      resources: z.array(value).max(limits.listPageEntriesMax),
      context_facts: contextFacts,
    }),
    list: z.object({
      ...actor,
      action: name,
      resource_type: name,
      context_facts: contextFacts,
      page_size: z.int().min(1).nullish(),
      page_token: z.string().nullish(),
    }),
    actions: z.object({ ...actor, ...resource, context_facts: contextFacts }),
  };
}

type Bodies = ReturnType<typeof checkBodies>;

function resourcesQuestion(body: z.output<Bodies["authorizeResources"]>): ResourcesQuestion {
  const { action, resources } = body;
  return { actor: { type: body.actor_type, id: body.actor_id }, action, resources, contextFacts: body.context_facts };
}

/**
 * With neither size nor token the whole list in one answer, and no `next_page_token`: clients from before paging know neither. Sizes below
 * Oso Cloud's least (10,000) are served, larger ones are cut to our most, since a client follows the token anyway.
 */
async function list(answers: Answers, limits: Limits, pages: ListPages, body: z.output<Bodies["list"]>) {
  const question = {
    actor: { type: body.actor_type, id: body.actor_id },
    action: body.action,
    resourceType: body.resource_type,
    contextFacts: body.context_facts,
  };
  const { page_size: size, page_token: token } = body;
  if (token) return pages.next(question, token);
  return size
    ? pages.first(question, Math.min(size, limits.listPageEntriesMax))
    : { results: await answers.ask("list", question) };
}
