/** The role and the name of a person, from the claims of a verified token. */
import type { JWTPayload } from "jose";
import type { Config } from "../../config/config.ts";
import type { ApiKeyRole } from "../../engine/state/event.ts";

/** Strongest first. */
const roles = ["admin", "write", "read"] as const satisfies readonly ApiKeyRole[];

/** The strongest role that a value of the role claim gives; undefined if none gives one. */
export function roleOf(payload: JWTPayload, oidc: Config["oidc"]): ApiKeyRole | undefined {
  const { roleClaim } = oidc;
  // At some issuers everybody can enter any address.
  if (roleClaim === "email" && !isTrue(payload["email_verified"])) return undefined;
  const values = valuesOf(claimAt(payload, roleClaim), roleClaim);
  return roles.find((role) => oidc[role].some((value) => values.includes(value)));
}

/** The name to show; null if the token has none. */
export function nameOf(payload: JWTPayload, { nameClaim }: Config["oidc"]): string | null {
  const isForged = nameClaim === "email" && "email_verified" in payload && !isTrue(payload["email_verified"]);
  const name = claimAt(payload, nameClaim);
  return typeof name === "string" && name !== "" && !isForged ? name.slice(0, nameCharactersMax) : null;
}

const nameCharactersMax = 256;

/** The claim with this name, otherwise the one at this path: a name such as `https://example.com/roles` has dots. */
function claimAt(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) return;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

/** A text is one value, but scopes are separated by spaces (RFC 8693, 4.2). */
function valuesOf(claim: unknown, name: string): readonly unknown[] {
  if (Array.isArray(claim)) return claim;
  if (typeof claim !== "string") return [];
  return name === "scope" || name === "scp" ? claim.split(" ") : [claim];
}

/** Some issuers write booleans as texts. */
function isTrue(claim: unknown): boolean {
  return claim === true || claim === "true";
}
