/** Who sends a request: an application with an API key, or a person with a token of the OIDC issuer. */
import type { ApiKey } from "../../engine/state/event.ts";
import type { Person } from "../oidc/people.ts";

export type Principal = ApiKey | Person;

export function isPerson(principal: Principal): principal is Person {
  return "kind" in principal;
}
