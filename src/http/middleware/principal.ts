/** Who sends a request. */
import type { ApiKeyRole } from "../../log/event/event.ts";
import type { KeySecret, WriteRestriction } from "../../store/keys/key-grant.ts";
import type { Person } from "../oidc/people.ts";

/** An application with an API key. */
export interface KeyPrincipal {
  readonly kind: "key";
  /** The id of the key. Slots, queues and idempotency keys belong to it. */
  readonly id: string;
  readonly name: string;
  readonly role: ApiKeyRole;
  /** When the secret expires, in ms since 1970. */
  readonly expiresMs: number | undefined;
  /** The facts that it may change. Undefined if its role alone decides. */
  readonly restriction: WriteRestriction | undefined;
}

export type Principal = KeyPrincipal | Person;

/** Finds the valid API key of an `Authorization` header; see `apiKeyFinder`. */
export type FindKey = (authorization: string) => KeyPrincipal | undefined;

export function principalOf({ id, name, role, expiresMs, restriction }: KeySecret): KeyPrincipal {
  return { kind: "key", id, name, role, expiresMs, restriction };
}
