/**
 * The AuthZEN Authorization API 1.0: evaluations, searches and discovery. Subjects and resources are values of the
 * policy, action names are permissions, and properties become facts of the request (`property-facts.ts`).
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { Fact } from "../../engine/state/event.ts";
import type { AnswerNote, PagedQuestion } from "../../engine/request/questions.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { jsonReadAccess } from "../../http/middleware/access.ts";
import { errorCatalogue } from "../../http/middleware/error-catalogue.ts";
import { addHints, type Exchange, exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import type { ListPages } from "../../http/pages/list-pages.ts";
import { type Evaluation, evaluationOf, type Evaluations } from "../../http/request/authzen-schemas.ts";
import type { BodyParser } from "../../http/request/body-parser.ts";
import { factsOf } from "../../http/request/property-facts.ts";
import type { ParsedRequest } from "../../http/request/request-schemas.ts";

const paths = {
  access_evaluation_endpoint: "/access/v1/evaluation",
  access_evaluations_endpoint: "/access/v1/evaluations",
  search_subject_endpoint: "/access/v1/search/subject",
  search_resource_endpoint: "/access/v1/search/resource",
  search_action_endpoint: "/access/v1/search/action",
} as const;

interface Decision {
  readonly decision: boolean;
  readonly context?: { readonly error: { readonly status: number; readonly message: string } };
}

type Page = ParsedRequest<"searchResource">["page"];

export function authzenRoutes(
  node: Node,
  limits: Limits,
  queries: QueryDispatcher,
  bodies: BodyParser,
  pages: ListPages,
  decisions: DecisionLog,
) {
  /** Answers with the facts of the request. If the policy changes meanwhile, other properties can be facts. */
  async function withFacts<T>(
    parts: Parameters<typeof factsOf>[0],
    ask: (contextFacts: readonly Fact[]) => T | Promise<T>,
  ): Promise<T> {
    for (;;) {
      const engine = node.engine();
      const uses = engine.factUses();
      const answer = await ask(factsOf(parts, uses, limits));
      if (node.engine() === engine && engine.factUses().stamp === uses.stamp) return answer;
    }
  }

  async function decide(evaluation: Evaluation, exchange: Exchange): Promise<boolean> {
    const { subject, action, resource } = evaluation;
    const { question, note, allowed } = await withFacts(evaluation, async (contextFacts) => {
      const asked = { actor: valueOf(subject), action: action.name, resource: valueOf(resource), contextFacts };
      const noted: AnswerNote = {};
      const answer = await queries.ask("authorize", asked, holderOf(exchange), noted);
      return { question: asked, note: noted, allowed: answer };
    });
    decisions.authorized(exchange, question, allowed, must(note.version, "an answer has a version"));
    addHints(exchange, note);
    return allowed;
  }

  /** Stops at the decision that decides all, if the semantic says so. Lets other requests run in between. */
  async function decideAll({ defaults, items, semantic }: Evaluations, exchange: Exchange): Promise<Decision[]> {
    const decisions: Decision[] = [];
    const endMs = performance.now() + limits.queryTimeMsMax;
    let pauseMs = performance.now() + sliceMs;
    for (const item of items ?? []) {
      const decision = await decisionOf(() => {
        if (typeof item === "string") throw new AppError("invalid_request", item);
        return decide(evaluationOf(item, defaults), exchange);
      });
      decisions.push(decision);
      if (semantic === "deny_on_first_deny" && !decision.decision) break;
      if (semantic === "permit_on_first_permit" && decision.decision) break;
      if (performance.now() < pauseMs) continue;
      if (performance.now() > endMs)
        throw new AppError(
          "query_too_expensive",
          `the evaluations take longer than ${limits.queryTimeMsMax} ms: ask for fewer`,
        );
      await new Promise(setImmediate);
      pauseMs = performance.now() + sliceMs;
    }
    return decisions;
  }

  /** One page of ids. Without `page` in the request, a list that fits in one page has no `page` in the response. */
  async function search(type: string, page: Page, exchange: Exchange, question: PagedQuestion) {
    const size = Math.min(page?.limit ?? limits.listPageEntriesMax, limits.listPageEntriesMax);
    const { results, next_page_token: next } = page?.token
      ? await pages.next(question, page.token, exchange)
      : await pages.first(question, size, exchange);
    const found = results.map((id) => ({ type, id }));
    return page || next !== null ? { page: { next_token: next ?? "" }, results: found } : { results: found };
  }

  return new Elysia()
    .use(jsonReadAccess(node, "read", limits.readBodyBytesMax))
    .post(paths.access_evaluation_endpoint, async ({ body, request }) => {
      const evaluation = await bodies.parse("evaluation", body);
      const exchange = exchangeOf(request);
      const allowed = await decide(evaluation, exchange);
      exchange.decision = allowed ? "allow" : "deny";
      return { decision: allowed };
    })
    .post(paths.access_evaluations_endpoint, async ({ body, request }) => {
      const evaluations = await bodies.parse("evaluations", body);
      const exchange = exchangeOf(request);
      return evaluations.items === null
        ? { decision: await decide(evaluationOf({}, evaluations.defaults), exchange) }
        : { evaluations: await decideAll(evaluations, exchange) };
    })
    .post(paths.search_subject_endpoint, async ({ body, request }) => {
      const { subject, page, ...parts } = await bodies.parse("searchSubject", body);
      const question = { actorType: subject.type, action: parts.action.name, resource: valueOf(parts.resource) };
      return withFacts(parts, (contextFacts) =>
        search(subject.type, page, exchangeOf(request), { ...question, contextFacts }),
      );
    })
    .post(paths.search_resource_endpoint, async ({ body, request }) => {
      const { resource, page, ...parts } = await bodies.parse("searchResource", body);
      const question = { actor: valueOf(parts.subject), action: parts.action.name, resourceType: resource.type };
      return withFacts(parts, (contextFacts) =>
        search(resource.type, page, exchangeOf(request), { ...question, contextFacts }),
      );
    })
    .post(paths.search_action_endpoint, async ({ body, request }) => {
      const { page: _, ...parts } = await bodies.parse("searchAction", body);
      const question = { actor: valueOf(parts.subject), resource: valueOf(parts.resource) };
      const exchange = exchangeOf(request);
      const { asked, note, names } = await withFacts(parts, async (contextFacts) => {
        const withContext = { ...question, contextFacts };
        const noted: AnswerNote = {};
        const found = await queries.ask("actions", withContext, holderOf(exchange), noted);
        return { asked: withContext, note: noted, names: found };
      });
      decisions.listed(exchange, "actions", asked, note);
      addHints(exchange, note);
      return { results: names.map((name) => ({ name })) };
    });
}

/** How long evaluations occupy the serving thread at a time. */
const sliceMs = 10;

function valueOf({ type, id }: { readonly type: string; readonly id: string }) {
  return { type, id };
}

/** An error of one evaluation is its decision; other errors are those of the request. */
async function decisionOf(decide: () => Promise<boolean>): Promise<Decision> {
  try {
    return { decision: await decide() };
  } catch (error) {
    if (!(error instanceof AppError) || !itemErrors.has(error.code)) throw error;
    return {
      decision: false,
      context: { error: { status: errorCatalogue[error.code].status, message: error.message } },
    };
  }
}

const itemErrors: ReadonlySet<AppError["code"]> = new Set([
  "invalid_request",
  "too_large",
  "query_too_expensive",
  "query_not_enumerable",
]);

const wellKnownPath = "/.well-known/authzen-configuration";

/**
 * The discovery document, for clients without a key. The path of `publicUrl` follows the well-known path, as the
 * specification says.
 */
export function authzenDiscovery(publicUrl: string | undefined) {
  const respond = ({ request, route, path, set }: DiscoveryContext) => {
    exchangeOf(request).route = route;
    if (publicUrl === undefined)
      throw new AppError("not_found", "this node does not know its public URL: set `publicUrl` in its configuration");
    const own = new URL(publicUrl).pathname.replace(/\/$/, "");
    if (path !== wellKnownPath + own)
      throw new AppError("not_found", `the discovery document is at \`${wellKnownPath}${own}\`, as \`publicUrl\` says`);
    set.headers["Cache-Control"] = "max-age=3600";
    const endpoints = Object.entries(paths).map(([name, each]) => [name, publicUrl + each]);
    return { policy_decision_point: publicUrl, ...Object.fromEntries(endpoints) };
  };
  return new Elysia().get(wellKnownPath, respond).get(`${wellKnownPath}/*`, respond);
}

interface DiscoveryContext {
  readonly request: Request;
  readonly route: string;
  readonly path: string;
  readonly set: { readonly headers: Record<string, string | number> };
}
