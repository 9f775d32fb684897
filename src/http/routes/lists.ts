/** Questions about one actor beside whether it may (`authorize.ts`): on what may it, what may it. Answers have the documented keys and no others: some clients insist. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";
import { ListPages } from "../pages/list-pages.ts";
import type { ListRequest } from "../request/request-schemas.ts";

export function listRoutes(node: Node, limits: Limits, answers: QueryDispatcher, bodies: BodyParser) {
  const pages = new ListPages(node, limits, answers);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/authorize_resources", async ({ body, request }) => {
      const question = await bodies.parseQuestion("authorizeResources", body);
      return answers.askList("authorizeResources", question, { holder: holderOf(exchangeOf(request)), key: "results" });
    })
    .post("/api/list", async ({ body, request }) =>
      list(answers, limits, pages, await bodies.parse("list", body), holderOf(exchangeOf(request))),
    )
    .post("/api/actions", async ({ body, request }) => {
      const question = await bodies.parse("actions", body);
      return { results: await answers.ask("actions", question, holderOf(exchangeOf(request))) };
    });
}

/**
 * With neither size nor token the whole list in one answer, and no `next_page_token`: clients from before paging know neither. Sizes below
 * Oso Cloud's least (10,000) are served, larger ones are cut to our most, since a client follows the token anyway.
 */
async function list(
  answers: QueryDispatcher,
  { listPageEntriesMax }: Limits,
  pages: ListPages,
  { question, pageSize, pageToken }: ListRequest,
  holder: string,
) {
  if (pageToken !== null) return pages.next(question, pageToken, holder);
  return pageSize === null
    ? answers.askList("list", question, { holder, key: "results" })
    : pages.first(question, Math.min(pageSize, listPageEntriesMax), holder);
}
