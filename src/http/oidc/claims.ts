/** The role and the name of a person, from the claims of a verified token. */
import type { JWTPayload } from "jose";
import type { Config } from "../../config/config.ts";
import type { ApiKeyRole } from "../../log/event/event.ts";

/** Strongest first. */
const roles = ["admin", "write", "read"] as const satisfies readonly ApiKeyRole[];

/** Which roles a token gives: the strongest one by environment. */
export interface Roles {
  /** Of values without the name of an environment, which are those of the default environment. */
  readonly unnamed: ApiKeyRole | undefined;
  readonly named: ReadonlyMap<string, ApiKeyRole>;
}

/** The environment in which a token is sent. */
export interface TokenScope {
  readonly environment: string;
  /** Whether it is another one than the default environment. */
  readonly isHosted: boolean;
}

/**
 * `<environment>::<value>` counts only in that environment. A value can have `::` itself, as in `arn:aws:iam::role`: no
 * environment has a colon in its name.
 */
function splitValue(text: string): { environment: string | undefined; value: string } {
  const [, environment, value = text] = /^([A-Za-z0-9-]{1,64})::(.+)$/s.exec(text) ?? [];
  return { environment, value };
}

/** The strongest role of the token in an environment; undefined if it has none there. */
export function roleIn({ unnamed, named }: Roles, { environment, isHosted }: TokenScope): ApiKeyRole | undefined {
  const own = named.get(environment);
  if (isHosted) return own;
  return roles.find((role) => role === own || role === unnamed);
}

/** The roles that the values of the role claim give. A value of the settings names its environment, one of a token does not. */
export function rolesOf(payload: JWTPayload, oidc: Config["oidc"]): Roles {
  const { roleClaim } = oidc;
  // At some issuers everybody can enter any address.
  const isForged = roleClaim === "email" && !isTrue(payload["email_verified"]);
  const values = new Set(isForged ? [] : valuesOf(claimAt(payload, roleClaim), roleClaim));
  const named = new Map<string | undefined, ApiKeyRole>();
  for (const role of roles)
    for (const { environment, value } of oidc[role].map(splitValue))
      if (values.has(value) && !named.has(environment)) named.set(environment, role);
  const unnamed = named.get(undefined);
  named.delete(undefined);
  return { unnamed, named: named as Map<string, ApiKeyRole> };
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
