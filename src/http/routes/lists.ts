/**
 * Lists about one actor: the resources on which it may do an action, and the actions that it may do on a resource.
 * Responses have exactly the documented keys, because some clients accept no others.
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";
import { ListPages } from "../pages/list-pages.ts";
import type { ListRequest } from "../request/request-schemas.ts";

export function listRoutes(node: Node, limits: Limits, queries: QueryDispatcher, bodies: BodyParser) {
  const pages = new ListPages(node, limits, queries);
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/authorize_resources", async ({ body, request }) => {
      const question = await bodies.parseQuestion("authorizeResources", body);
      return queries.askList("authorizeResources", question, { holder: holderOf(exchangeOf(request)), key: "results" });
    })
    .post("/api/list", async ({ body, request }) =>
      list(queries, limits, pages, await bodies.parse("list", body), holderOf(exchangeOf(request))),
    )
    .post("/api/actions", async ({ body, request }) => {
      const question = await bodies.parse("actions", body);
      return { results: await queries.ask("actions", question, holderOf(exchangeOf(request))) };
    });
}

/**
 * A request without a size and a token gets the whole list in one response without `next_page_token`, for clients that
 * do not know paging. Oso Cloud accepts no sizes below 10,000; this node does. A larger size than the maximum is
 * reduced to it, because a client continues with the token anyway.
 */
async function list(
  queries: QueryDispatcher,
  { listPageEntriesMax }: Limits,
  pages: ListPages,
  { question, pageSize, pageToken }: ListRequest,
  holder: string,
) {
  if (pageToken !== null) return pages.next(question, pageToken, holder);
  return pageSize === null
    ? queries.askList("list", question, { holder, key: "results" })
    : pages.first(question, Math.min(pageSize, listPageEntriesMax), holder);
}
