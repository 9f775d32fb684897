/** Who sends a request. */
import type { ApiKey, ApiKeyRole } from "../../engine/state/event.ts";
import type { Person } from "../oidc/people.ts";

/** An application with an API key. */
export interface KeyPrincipal {
  readonly kind: "key";
  /** The id of the key. Slots, queues and idempotency keys belong to it. */
  readonly id: string;
  readonly role: ApiKeyRole;
}

export type Principal = KeyPrincipal | Person;

export function principalOf({ id, role }: ApiKey): KeyPrincipal {
  return { kind: "key", id, role };
}
