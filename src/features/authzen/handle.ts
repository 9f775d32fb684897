/**
 * The AuthZEN Authorization API 1.0: evaluations, searches and discovery. Subjects and resources are values of the
 * policy, action names are permissions, and properties become facts of the request (`property-facts.ts`).
 */
import type { Limits } from "../../config/limits.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { AnswerNote, PagedQuestion } from "../../engine/request/questions.ts";
import type { QueryDispatcher } from "../../engine/workers/query-dispatcher.ts";
import { errorCatalogue } from "../../http/middleware/error-catalogue.ts";
import { addHints, type Exchange, exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import type { ListPages } from "../../http/pages/list-pages.ts";
import { type Evaluation, evaluationOf, type Evaluations } from "../../http/request/authzen-schemas.ts";
import { factsOf } from "../../http/request/property-facts.ts";
import type { ParsedRequest } from "../../http/request/request-schemas.ts";
import type { Call, Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { authzenEndpoints } from "./endpoints.ts";

interface Decision {
  readonly decision: boolean;
  readonly context?: { readonly error: { readonly status: number; readonly message: string } };
}

type Page = ParsedRequest<"searchResource">["page"];

export interface AuthzenParts {
  readonly queries: QueryDispatcher;
  readonly pages: ListPages;
  readonly decisions: DecisionLog;
  /** The URL of the API as clients see it. */
  readonly publicUrl: string | undefined;
}

export function handleAuthzen(
  node: Node,
  limits: Limits,
  { queries, pages, decisions, publicUrl }: AuthzenParts,
): Handlers<typeof authzenEndpoints> {
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

  /** For clients without a key. The path of `publicUrl` follows the well-known path, as the specification says. */
  const configuration = ({ path, set }: Pick<Call, "path" | "set">) => {
    if (publicUrl === undefined)
      throw new AppError("not_found", "this node does not know its public URL: set `publicUrl` in its configuration");
    const own = new URL(publicUrl).pathname.replace(/\/$/, "");
    const { path: wellKnown } = authzenEndpoints.authzenConfiguration;
    if (path !== wellKnown + own)
      throw new AppError("not_found", `the discovery document is at \`${wellKnown}${own}\`, as \`publicUrl\` says`);
    set.headers["Cache-Control"] = "max-age=3600";
    return {
      policy_decision_point: publicUrl,
      access_evaluation_endpoint: publicUrl + authzenEndpoints.authzenEvaluation.path,
      access_evaluations_endpoint: publicUrl + authzenEndpoints.authzenEvaluations.path,
      search_subject_endpoint: publicUrl + authzenEndpoints.authzenSearchSubject.path,
      search_resource_endpoint: publicUrl + authzenEndpoints.authzenSearchResource.path,
      search_action_endpoint: publicUrl + authzenEndpoints.authzenSearchAction.path,
    };
  };

  return {
    authzenEvaluation: async ({ body, request }) => {
      const exchange = exchangeOf(request);
      const allowed = await decide(body, exchange);
      exchange.decision = allowed ? "allow" : "deny";
      return { decision: allowed };
    },
    authzenEvaluations: async ({ body, request }) => {
      const exchange = exchangeOf(request);
      return body.items === null
        ? { decision: await decide(evaluationOf({}, body.defaults), exchange) }
        : { evaluations: await decideAll(body, exchange) };
    },
    authzenSearchSubject: ({ body: { subject, page, ...parts }, request }) => {
      const question = { actorType: subject.type, action: parts.action.name, resource: valueOf(parts.resource) };
      return withFacts(parts, (contextFacts) =>
        search(subject.type, page, exchangeOf(request), { ...question, contextFacts }),
      );
    },
    authzenSearchResource: ({ body: { resource, page, ...parts }, request }) => {
      const question = { actor: valueOf(parts.subject), action: parts.action.name, resourceType: resource.type };
      return withFacts(parts, (contextFacts) =>
        search(resource.type, page, exchangeOf(request), { ...question, contextFacts }),
      );
    },
    authzenSearchAction: async ({ body: parts, request }) => {
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
    },
    authzenConfiguration: configuration,
    authzenConfigurationWithPath: configuration,
  };
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
