/**
 * People: the senders of requests with a token (JWT) of the OIDC issuer in place of an API key. A token is verified
 * once; then it is known by its hash until it expires or the keys of the issuer change. Checks without cryptography come
 * first, and the number of verifications at the same time is limited.
 */
import { hash } from "node:crypto";
import { errors, jwtVerify, type JWSHeaderParameters, type JWTPayload } from "jose";
import { LRUCache } from "lru-cache";
import type { Config } from "../../config/config.ts";
import type { ApiKeyRole } from "../../log/event/event.ts";
import type { Fetch } from "../../replication/system.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { clip } from "../../util/text-length.ts";
import { TokenBuckets } from "../../util/token-buckets.ts";
import type { CodeGrant } from "../request/login-schemas.ts";
import { nameOf, roleIn, type Roles, rolesOf, type TokenScope } from "./claims.ts";
import { authorizationPage, exchangeCode } from "./code-exchange.ts";
import type { IssuerSource } from "./issuer-documents.ts";
import { IssuerKeys } from "./issuer-keys.ts";
import { refusedToken } from "./refused-token.ts";

export interface Person {
  readonly kind: "person";
  /** `person:` and the claim `sub`. The id of an API key has no colon. */
  readonly id: string;
  readonly name: string | null;
  readonly role: ApiKeyRole;
  /** When the token expires, in ms since 1970. */
  readonly expiresMs: number;
  /** The number of the set of keys with which the token was verified. */
  readonly keySet: number;
}

interface VerifiedToken {
  readonly person: Omit<Person, "role">;
  readonly roles: Roles;
}

/** Signatures with a private key. With `none` and HMAC everybody could sign who knows the public key. */
const algorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];

/** A token that the issuer made for another purpose, such as a logout token, has another type (RFC 8725, 3.11). */
const types: ReadonlySet<string> = new Set(["jwt", "at+jwt"]);

/** OpenID Connect Core, 2: a subject has at most 255 characters. */
const subjectCharactersMax = 255;

/** Each is a request to the issuer, and anybody can cause one. */
const loginsPerSecondMax = 10;

export class People {
  readonly #oidc: Config["oidc"];
  readonly #issuer: string;
  readonly #limits: Config["limits"];
  readonly #clock: Clock;
  readonly #source: IssuerSource;
  readonly #keys: IssuerKeys;
  readonly #logins: TokenBuckets;
  /** By the hash of the token. */
  readonly #verified: LRUCache<string, VerifiedToken>;
  #verifications = 0;

  constructor(issuer: string, { oidc, limits }: Pick<Config, "oidc" | "limits">, fetch: Fetch, clock: Clock) {
    this.#oidc = oidc;
    this.#issuer = issuer;
    this.#limits = limits;
    this.#clock = clock;
    this.#verified = new LRUCache({ max: limits.oidcTokensCachedMax });
    this.#source = { issuer, fetch, clock, limits };
    this.#keys = new IssuerKeys(this.#source);
    this.#logins = new TokenBuckets({ capacity: loginsPerSecondMax, perSecond: loginsPerSecondMax }, clock);
  }

  /** Fetches the keys of the issuer before the first token needs them. Never rejects. */
  prepare(): Promise<void> {
    return this.#keys.refresh();
  }

  /** The page of the issuer where people log in; undefined if the issuer has none, or does not answer. */
  async authorizationEndpoint(): Promise<string | undefined> {
    try {
      return authorizationPage(this.#source, await this.#keys.discovery());
    } catch (error) {
      if (error instanceof AppError) return undefined;
      throw error;
    }
  }

  /** Counts a login, before its body is read. Throws `too_many_requests`. */
  admitLogin(): void {
    if (!this.#logins.take(""))
      throw new AppError("too_many_requests", `this node exchanges ${loginsPerSecondMax} codes per second, try again`, {
        retryAfterMs: this.#logins.delayMs(""),
      });
  }

  /** Exchanges an authorization code for a token. AppError if the issuer gives none, or does not answer. */
  async exchange(grant: CodeGrant): Promise<string> {
    return exchangeCode(this.#source, await this.#keys.discovery(), this.#oidc, grant);
  }

  /** Whether a verified token is still valid. If not, it can be valid again after another verification. */
  isCurrent({ expiresMs, keySet }: Pick<Person, "expiresMs" | "keySet">): boolean {
    // A token that a removed key signed must not stay valid.
    return this.#keys.isCurrent(keySet) && this.#clock.wallMs() < expiresMs + this.#limits.oidcLeewayMs;
  }

  /**
   * The person who sends a token: at once if the token is known. AppError (thrown or as a rejection): `unauthorized` if
   * it is not valid, `forbidden` if it gives no role in the environment, `not_ready` if it cannot be verified now.
   */
  find(token: string, scope: TokenScope): Person | Promise<Person> {
    try {
      const verified = this.#tokenOf(token);
      if (verified instanceof Promise) return this.#whenVerified(verified, scope);
      metrics.oidcTokens.inc({ result: "known" });
      return this.#withRole(verified, scope);
    } catch (error) {
      throw counted(error);
    }
  }

  /** Whether the token is valid and gives a role in the environment. No metric counts it. */
  async hasRole(token: string, scope: TokenScope): Promise<boolean> {
    try {
      return roleIn((await this.#tokenOf(token)).roles, scope) !== undefined;
    } catch (error) {
      if (error instanceof AppError) return false;
      throw error;
    }
  }

  #tokenOf(token: string): VerifiedToken | Promise<VerifiedToken> {
    if (token.length > this.#limits.oidcTokenBytesMax)
      throw refusedToken(`it is longer than the ${this.#limits.oidcTokenBytesMax} bytes that are allowed`);
    const id = hash("sha256", token, "base64url");
    const known = this.#verified.get(id);
    return known !== undefined && this.isCurrent(known.person) ? known : this.#verify(token, id);
  }

  async #verify(token: string, id: string): Promise<VerifiedToken> {
    const verified = await this.#check(token);
    this.#verified.set(id, verified);
    return verified;
  }

  async #whenVerified(verification: Promise<VerifiedToken>, scope: TokenScope): Promise<Person> {
    const verified = await verification.catch((error: unknown) => {
      throw counted(error);
    });
    metrics.oidcTokens.inc({ result: "verified" });
    return this.#withRole(verified, scope);
  }

  async #check(token: string): Promise<VerifiedToken> {
    const header = this.#checkCheaply(token);
    const { key, keySet } = await this.#keys.find(header);
    if (this.#verifications >= this.#limits.oidcVerificationsMax)
      throw new AppError("not_ready", "too many tokens are being verified, try again");
    this.#verifications += 1;
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms,
        issuer: this.#issuer,
        audience: [...this.#oidc.audience],
        requiredClaims: ["exp", "sub"],
        clockTolerance: this.#limits.oidcLeewayMs / 1000,
        currentDate: new Date(this.#clock.wallMs()),
      });
      return this.#verifiedOf(payload, keySet);
    } catch (error) {
      if (error instanceof errors.JWSSignatureVerificationFailed) throw refusedToken("its signature is wrong");
      if (error instanceof errors.JOSEError) throw refusedToken(error.message);
      if (error instanceof AppError) throw error;
      throw refusedToken("its key is not usable", error);
    } finally {
      this.#verifications -= 1;
    }
  }

  /** All that needs no key. Returns the header of a token that a key of the issuer may have signed. */
  #checkCheaply(token: string): JWSHeaderParameters {
    const [, headerText, payloadText] = /^([\w-]+)\.([\w-]+)\.[\w-]+$/.exec(token) ?? [];
    if (headerText === undefined || payloadText === undefined)
      throw refusedToken("it is not three parts in base64url, separated by dots");
    const header = partOf(headerText);
    const payload = partOf(payloadText);
    const { alg, typ = "jwt" } = header;
    if (typeof alg !== "string" || !algorithms.includes(alg))
      throw refusedToken(`its algorithm is \`${described(alg)}\``);
    if (typeof typ !== "string" || !types.has(typ.toLowerCase().replace(/^application\//, "")))
      throw refusedToken(`its type is \`${described(typ)}\``);
    const { iss, aud, exp, nbf } = payload;
    if (iss !== this.#issuer) throw refusedToken("its issuer (`iss`) is not the `oidc.issuer` of this node");
    const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
    if (!this.#oidc.audience.some((audience) => audiences.includes(audience)))
      throw refusedToken("it is for somebody else: its `aud` has no value of `oidc.audience`");
    const [nowMs, leewayMs] = [this.#clock.wallMs(), this.#limits.oidcLeewayMs];
    if (typeof exp !== "number") throw refusedToken("it has no `exp`");
    if (Number.isNaN(new Date(exp * 1000).getTime())) throw refusedToken("its `exp` is not a time");
    if (!(nowMs < exp * 1000 + leewayMs)) throw refusedToken("it has expired, log in again");
    if (nbf !== undefined && !(typeof nbf === "number" && nbf * 1000 <= nowMs + leewayMs))
      throw refusedToken("it is not valid yet (`nbf`), or the clock of this node is wrong");
    // Everybody who has stolen such a token could send it: this node does not check the proof of the other key.
    if ("cnf" in payload)
      throw refusedToken("it is bound to a key of its client (`cnf`), which this node does not check");
    const { kid } = header;
    if (kid !== undefined && typeof kid !== "string") throw refusedToken("the id of its key (`kid`) is not a text");
    return header as JWSHeaderParameters;
  }

  #verifiedOf(payload: JWTPayload, keySet: number): VerifiedToken {
    const { sub, exp = 0 } = payload;
    if (typeof sub !== "string" || sub === "" || sub.length > subjectCharactersMax)
      throw refusedToken(`its subject (\`sub\`) does not have 1 to ${subjectCharactersMax} characters`);
    const name = nameOf(payload, this.#oidc);
    return {
      person: { kind: "person", id: `person:${sub}`, name, expiresMs: exp * 1000, keySet },
      roles: rolesOf(payload, this.#oidc),
    };
  }

  #withRole({ person, roles }: VerifiedToken, scope: TokenScope): Person {
    const role = roleIn(roles, scope);
    if (role !== undefined) return { ...person, role };
    const environment = clip(scope.environment, 64);
    const form = scope.isHosted ? `, as \`${environment}::value\`` : "";
    const orUnknown = scope.isHosted ? `, or this node has no environment \`${environment}\`` : "";
    throw new AppError(
      "forbidden",
      `this person has no role here${orUnknown}: no value of the claim \`${this.#oidc.roleClaim}\` in the token gives one (\`oidc.admin\`, \`oidc.write\`, \`oidc.read\`${form})`,
    );
  }
}

/** Counts the refusal of a token. */
function counted(error: unknown): unknown {
  if (error instanceof AppError && error.code === "unauthorized") metrics.oidcTokens.inc({ result: "refused" });
  return error;
}

/** A part of the header for a message. */
function described(value: unknown): string {
  return typeof value === "string" ? clip(value, 40) : typeof value;
}

/** The JSON object in a part of a token. */
function partOf(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, "base64url").toString());
  } catch {
    throw refusedToken("a part of it is not JSON");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw refusedToken("a part of it is not a JSON object");
}
