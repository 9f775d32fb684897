/** The body that creates a key, from the fields of the form. Pure. */
import type { Role } from "../api/responses.ts";

export interface KeyFields {
  readonly name: string;
  readonly role: Role;
  /** A duration such as `90d`, a time with its zone, or empty for never. */
  readonly expires: string;
  /** Names with commas between them. */
  readonly predicates: string;
  readonly types: string;
}

/**
 * A key without limits is requested with `role`, because a primary of release 0.1.0 knows nothing else. Only keys with
 * the role `write` can be restricted.
 */
export function keyRequestOf({ name, role, expires, predicates, types }: KeyFields): object {
  const isRestrictable = role === "write";
  const grant = {
    ...(expires !== "" && { expires }),
    ...(isRestrictable && namesIn(predicates).length > 0 && { only_predicates: namesIn(predicates) }),
    ...(isRestrictable && namesIn(types).length > 0 && { only_types: namesIn(types) }),
  };
  const named = { name: name.trim() };
  return Object.keys(grant).length === 0 ? { ...named, role } : { ...named, grant: { role, ...grant } };
}

/** The names in a list with commas or spaces between them. */
export function namesIn(text: string): string[] {
  return text.split(/[\s,]+/).filter((name) => name !== "");
}
