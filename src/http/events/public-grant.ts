/** The public members of the grant of an API key, besides its role. */
import type { KeySecret } from "../../store/keys/key-grant.ts";

export function publicGrant({ expiresMs, restriction }: Pick<KeySecret, "expiresMs" | "restriction">) {
  return {
    ...(expiresMs !== undefined && { expires: new Date(expiresMs).toISOString() }),
    ...(restriction?.predicates !== undefined && { only_predicates: restriction.predicates }),
    ...(restriction?.types !== undefined && { only_types: restriction.types }),
  };
}
