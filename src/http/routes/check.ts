/** Questions about one actor beside whether it may (`authorize.ts`): on what may it, what may it. Answers have the documented keys and no others: some clients insist. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { Answers } from "../../engine/node-answers.ts";
import type { ActionsQuestion, ResourcesQuestion } from "../../engine/questions.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../access.ts";
import { exchangeOf, holderOf } from "../exchange.ts";
import { ListPages } from "../list-pages.ts";
import { taking } from "../schema-error.ts";
import { wire } from "../wire.ts";

export function checkRoutes(node: Node, limits: Limits, answers: Answers) {
  const take = takingBodies(limits);
  const pages = new ListPages(node, limits, answers);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/authorize_resources", async ({ body, request }) => {
      const question = resourcesQuestion(take.authorizeResources(body));
      return { results: await answers.ask("authorizeResources", question, holderOf(exchangeOf(request))) };
    })
    .post("/api/list", ({ body, request }) =>
      list(answers, limits, pages, take.list(body), holderOf(exchangeOf(request))),
    )
    .post("/api/actions", async ({ body, request }) => {
      const question = actionsQuestion(take.actions(body));
      return { results: await answers.ask("actions", question, holderOf(exchangeOf(request))) };
    });
}

function takingBodies(limits: Limits) {
  const { name, value, contextFacts } = wire(limits);
  const actor = { actor_type: name, actor_id: name };
  const resource = { resource_type: name, resource_id: name };
  return {
    authorizeResources: taking(
      "body",
      z.object({
        ...actor,
        action: name,
        resources: z.array(value).max(limits.listPageEntriesMax),
        context_facts: contextFacts,
      }),
    ),
    list: taking(
      "body",
      z.object({
        ...actor,
        action: name,
        resource_type: name,
        context_facts: contextFacts,
        page_size: z.int().min(1).nullish(),
        page_token: z.string().nullish(),
      }),
    ),
    actions: taking("body", z.object({ ...actor, ...resource, context_facts: contextFacts })),
  };
}

type Bodies = ReturnType<typeof takingBodies>;
type Body<Name extends keyof Bodies> = ReturnType<Bodies[Name]>;

function resourcesQuestion(body: Body<"authorizeResources">): ResourcesQuestion {
  const { action, resources } = body;
  return { actor: { type: body.actor_type, id: body.actor_id }, action, resources, contextFacts: body.context_facts };
}

function actionsQuestion(body: Body<"actions">): ActionsQuestion {
  return {
    actor: { type: body.actor_type, id: body.actor_id },
    resource: { type: body.resource_type, id: body.resource_id },
    contextFacts: body.context_facts,
  };
}

/**
 * With neither size nor token the whole list in one answer, and no `next_page_token`: clients from before paging know neither. Sizes below
 * Oso Cloud's least (10,000) are served, larger ones are cut to our most, since a client follows the token anyway.
 */
async function list(answers: Answers, limits: Limits, pages: ListPages, body: Body<"list">, holder: string) {
  const question = {
    actor: { type: body.actor_type, id: body.actor_id },
    action: body.action,
    resourceType: body.resource_type,
    contextFacts: body.context_facts,
  };
  const { page_size: size, page_token: token } = body;
  if (token) return pages.next(question, token, holder);
  return size
    ? pages.first(question, Math.min(size, limits.listPageEntriesMax), holder)
    : { results: await answers.ask("list", question, holder) };
}
