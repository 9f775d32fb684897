/** Lists of a replaced database: an edge replaces one that it cannot trust, a fallback an old one. */
import { expect, test } from "bun:test";
import { INVALID_SPAN_CONTEXT, trace } from "@opentelemetry/api";
import { defaultLimits } from "../../src/config/limits.ts";
import { DecisionLog, unloggedDecisions } from "../../src/decisions/decision-log.ts";
import { QueryDispatcher } from "../../src/engine/workers/query-dispatcher.ts";
import { Engine } from "../../src/engine/engine.ts";
import { ListPages } from "../../src/http/pages/list-pages.ts";
import type { Node } from "../../src/replication/node.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { fact, inserted, policy, storeWith } from "../engine/store.ts";
import { refusal } from "../replication/cluster.ts";

const question = { actor: { type: "User", id: "ann" }, action: "read", resourceType: "Org", contextFacts: [] };
const source = `actor User {} resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }`;
const epoch = "0123456789abcdef";

const decisions = new DecisionLog(unloggedDecisions(defaultLimits));
const span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
const asking = { requestId: "1", principal: undefined, span, startedMs: 0, hints: [] };

function engineWith(...ids: string[]): Engine {
  const members = ids.map((id) => fact("has_role", "User:ann", "String:member", `Org:${id}`));
  const store = storeWith(policy(source), inserted(...members));
  store.exec(`UPDATE state SET epoch = '${epoch}', "offset" = 2`);
  return new Engine(store);
}

test.each(["edge", "primary", "fallback"] as const)("on a node that is %s", async (role) => {
  const copies = [engineWith("a", "b", "c", "wrong"), engineWith("a", "b", "c", "d")];
  let present: Engine | undefined = copies[0];
  const engine = (): Engine => {
    if (!present) throw new AppError("not_ready", "this node waits for a copy");
    return present;
  };
  const node = { role, engine, waitFor: async () => {} } as Partial<Node> as Node;
  const pages = new ListPages(node, defaultLimits, new QueryDispatcher(engine, defaultLimits), decisions);
  const token = must((await pages.first(question, 2, asking)).next_page_token);

  present = undefined;
  expect(await refusal(pages.next(question, token, asking))).toMatchObject({ code: "not_ready" });
  present = copies[1];
  const last = role === "fallback" ? "wrong" : "d";
  expect(await pages.next(question, token, asking)).toEqual({ results: ["c", last], next_page_token: null });
  for (const copy of copies) copy.close();
});
