/** What is asked of a company: pairs of a user and a repository, and an action. */
import type { AuthorizeQuestion } from "../../src/engine/questions.ts";
import type { Company, Pair } from "./company.ts";
import { pick, type Random } from "./random.ts";

const actions = ["read", "write", "delete"];

/** Any user, any repository, any action: each equally likely. Most of these are denied, so every way there might be has to be tried. */
export function uniformQuestions({ users, repositories }: Company, next: Random, count: number): AuthorizeQuestion[] {
  return Array.from({ length: count }, () => {
    const pair = { user: pick(next, users), repository: pick(next, repositories) };
    return question(pair, pick(next, actions));
  });
}

/** Reading what the user has a role on. */
export function grantedQuestions({ granted }: Company, next: Random, count: number): AuthorizeQuestion[] {
  return Array.from({ length: count }, () => question(pick(next, granted), "read"));
}

function question({ user, repository }: Pair, action: string): AuthorizeQuestion {
  return {
    actor: { type: "User", id: user },
    action,
    resource: { type: "Repository", id: repository },
    contextFacts: [],
  };
}

/** The body of `POST /api/authorize`. */
export function bodyOf({ actor, action, resource }: AuthorizeQuestion): string {
  return JSON.stringify({
    actor_type: actor.type,
    actor_id: actor.id,
    action,
    resource_type: resource.type,
    resource_id: resource.id,
    context_facts: [],
  });
}
