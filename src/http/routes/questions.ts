/**
 * The questions other than `authorize`: lists about one actor, the query builder, and explanations. Responses have
 * exactly the documented keys, because some clients accept no others.
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { explainDecisions } from "../../engine/workers/explanations.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { exchangeOf, holderOf, jsonResponse } from "../middleware/exchange.ts";
import type { ListPages } from "../pages/list-pages.ts";

export function questionRoutes(
  node: Node,
  limits: Limits,
  queries: QueryDispatcher,
  bodies: BodyParser,
  pages: ListPages,
) {
  const explain = explainDecisions(limits);
  return (
    new Elysia()
      .use(readAccess(node, "read", limits.readBodyBytesMax))
      .post("/api/authorize_resources", async ({ body, request }) => {
        const question = await bodies.parseQuestion("authorizeResources", body);
        const holder = holderOf(exchangeOf(request));
        return queries.askList("authorizeResources", question, { holder, key: "results" });
      })
      // A request without a size and a token gets the whole list in one response without `next_page_token`, for clients
      // that do not know paging. Oso Cloud accepts no sizes below 10,000; this node does. A size above the maximum is
      // reduced to it, because a client continues with the token anyway.
      .post("/api/list", async ({ body, request }) => {
        const { question, pageSize, pageToken } = await bodies.parse("list", body);
        const holder = holderOf(exchangeOf(request));
        if (pageToken !== null) return pages.next(question, pageToken, holder);
        return pageSize === null
          ? queries.askList("list", question, { holder, key: "results" })
          : pages.first(question, Math.min(pageSize, limits.listPageEntriesMax), holder);
      })
      .post("/api/actions", async ({ body, request }) => {
        const question = await bodies.parse("actions", body);
        return { results: await queries.ask("actions", question, holderOf(exchangeOf(request))) };
      })
      .post("/api/bulk_actions", async ({ body, request }) => {
        const question = await bodies.parseQuestion("bulkActions", body);
        return queries.askList("bulkActions", question, { holder: holderOf(exchangeOf(request)) });
      })
      .post("/api/query", async ({ body, request }) => {
        const question = await bodies.parse("queryPattern", body);
        return queries.askList("queryPattern", question, { holder: holderOf(exchangeOf(request)), key: "results" });
      })
      // A `null` in a result means every value of the variable's type.
      .post("/api/evaluate_query", async ({ body, request }) => {
        const question = await bodies.parseQuestion("query", body);
        return queries.askList("query", question, { holder: holderOf(exchangeOf(request)), key: "results" });
      })
      .post("/api/explain", async ({ body, request }) => {
        const question = await bodies.parse("authorize", body);
        return jsonResponse(await explain(question, node.engine().path, holderOf(exchangeOf(request))));
      })
  );
}
