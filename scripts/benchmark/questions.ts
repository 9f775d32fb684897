/** Questions about a company: whether a user may do an action on a repository. */
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import type { Value } from "../../src/store/facts/fact.ts";
import { grantsOf, repository, user, type Company } from "./company.ts";
import { below, pick, type Random } from "./random.ts";

const actions = ["read", "write", "delete"];

/** Uniformly random user, repository and action. Most are denied, so the engine has to try all rules. */
export function uniformQuestions(company: Company, next: Random, count: number): AuthorizeQuestion[] {
  return Array.from({ length: count }, () =>
    question(user(below(next, company.users)), pick(next, actions), repository(below(next, company.repositories))),
  );
}

/** Reads by users with a role. The number of distinct pairs is limited to that of a small company. */
export function grantedQuestions(company: Company, count: number): AuthorizeQuestion[] {
  const questions: AuthorizeQuestion[] = [];
  for (const grant of grantsOf(company)) {
    if (questions.length >= Math.min(count, company.size * 0.3)) break;
    if (grant.place === "repository") questions.push(question(user(grant.user), "read", repository(grant.index)));
  }
  return questions;
}

export const question = (actor: Value, action: string, resource: Value): AuthorizeQuestion => ({
  actor,
  action,
  resource,
  contextFacts: [],
});

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
