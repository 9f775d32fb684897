/**
 * A running node, asked over HTTP: with the official client if it supports the question, and otherwise in the way that
 * the client would send it.
 */
import { Oso } from "oso-cloud";
import type { Query, QueryRow } from "../../src/engine/request/questions.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import type { Target } from "./run.ts";

export function httpTarget(url: string, key: string, contextFacts: readonly Fact[]): Target {
  const client = new Oso(url, key);
  const context = contextFacts.map(({ predicate, args }) => [predicate, ...args] as ClientFact);
  const post = async (path: string, body: object): Promise<unknown> => {
    const response = await fetch(url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ ...body, context_facts: contextFacts }),
    });
    if (!response.ok) throw errorOf(await response.text());
    return response.json();
  };
  return {
    authorize: ({ actor, action, resource }) => client.authorize(actor, action, resource, context).catch(rethrow),
    list: (actor, action, type) => client.list(actor, action, type, context).catch(rethrow),
    actions: (actor, resource) => client.actions(actor, resource, context).catch(rethrow),
    async pages(actor, action, type, limit) {
      const body = { actor_type: actor.type, actor_id: actor.id, action, resource_type: type };
      const all: string[] = [];
      for (let token: string | null | undefined; token !== null;) {
        const page = (await post("/api/list", {
          ...body,
          page_size: limit,
          ...(token ? { page_token: token } : {}),
        })) as Page;
        all.push(...page.results);
        token = page.next_page_token ?? null;
      }
      return all;
    },
    async query({ calls, variables }: Query) {
      const [predicate, ...others] = calls.map((call) => [call.predicate, call.variables]);
      const body = { predicate, calls: others, constraints: Object.fromEntries(variables) };
      return ((await post("/api/evaluate_query", body)) as { results: QueryRow[] }).results;
    },
  };
}

/** The client's type of a fact is a tuple of its name and its one to five arguments. */
type ClientFact = NonNullable<Parameters<Oso["list"]>[3]>[number];

interface Page {
  readonly results: string[];
  readonly next_page_token?: string | null;
}

function rethrow(error: unknown): never {
  throw error instanceof Error ? errorOf(error.message) : error;
}

/** Over HTTP an error is a status and a sentence, so an expected error is recognised by its words. */
function errorOf(text: string): Error {
  return text.includes("the answers can't be listed") ? new AppError("query_not_enumerable", text) : new Error(text);
}
