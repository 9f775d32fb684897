/**
 * The public keys of the OIDC issuer, in memory. They are fetched again when they are old, and when a token names an
 * unknown key, but not more often than the limits allow, so that invented keys cannot make this node attack the issuer.
 * While the issuer does not answer, the known keys stay valid for a limited time.
 */
import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet, type JWSHeaderParameters } from "jose";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { backoffMs } from "../../util/backoff.ts";
import { reasonOf } from "../../util/reason.ts";
import { fetchIssuerDocuments, type IssuerDocuments, type IssuerSource } from "./issuer-documents.ts";
import { refusedToken } from "./refused-token.ts";

const log = getLogger("oidc");

interface KeySet {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly text: string;
  /** Grows with each different set. */
  readonly number: number;
  readonly fetchedMs: number;
}

export interface FoundKey {
  readonly key: CryptoKey;
  /** The number of the set that has the key. */
  readonly keySet: number;
}

/** The first retry after a failed fetch. */
const retryMsMin = 1000;

export class IssuerKeys {
  readonly #source: IssuerSource;
  #known: KeySet | undefined;
  #discovery: IssuerDocuments["discovery"] | undefined;
  #fetching: Promise<void> | undefined;
  /** When the last fetch ended, with or without success. */
  #triedMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  /** No fetch may begin earlier. */
  #nextFetchMs = Number.NEGATIVE_INFINITY;
  #waiting = 0;

  constructor(source: IssuerSource) {
    this.#source = source;
  }

  /** Whether a set of keys is the present one, and not too old. Begins a fetch in the background if it is old. */
  isCurrent(keySet: number): boolean {
    return this.#valid()?.number === keySet && !this.#isOverdue();
  }

  /** Fetches the keys, if that is allowed now. Never rejects. */
  async refresh(): Promise<void> {
    await this.#fetch();
  }

  /** The discovery document of the issuer, with the keys. AppError `not_ready` if it is not known, or too old. */
  async discovery(): Promise<IssuerDocuments["discovery"]> {
    if (this.#valid() === undefined) await this.#wait();
    this.#require();
    return must(this.#discovery);
  }

  /**
   * The key that the header of a token names. AppError `unauthorized` if the issuer has no such key, `not_ready` if its
   * keys are not known, or too many tokens wait for them.
   */
  async find(header: JWSHeaderParameters): Promise<FoundKey> {
    if (this.#valid() === undefined || this.#isOverdue()) await this.#wait();
    const found = await findIn(this.#require(), header);
    if (found !== undefined) return found;
    await this.#wait();
    const later = await findIn(this.#require(), header);
    if (later !== undefined) return later;
    throw refusedToken(
      "the OIDC issuer has no such key, log in again, or try again in some seconds if the issuer has a new key",
    );
  }

  /** The known keys, if they are not too old. Begins a fetch in the background if they are old. */
  #valid(): KeySet | undefined {
    const { clock, limits } = this.#source;
    const ageMs = this.#known === undefined ? Infinity : clock.monotonicMs() - this.#known.fetchedMs;
    if (ageMs >= limits.oidcKeysRefreshMs) void this.#fetch();
    return ageMs < limits.oidcKeysAgeMsMax ? this.#known : undefined;
  }

  /**
   * Whether the issuer was not asked for so long that the keys must not be used before. Fetches begin with tokens, so a
   * node without tokens would accept the first one with a key that the issuer removed hours ago.
   */
  #isOverdue(): boolean {
    const { clock, limits } = this.#source;
    return clock.monotonicMs() - this.#triedMs >= limits.oidcKeysRefreshMs + limits.oidcKeysFetchIntervalMsMin;
  }

  #require(): KeySet {
    const valid = this.#valid();
    if (valid !== undefined) return valid;
    throw new AppError(
      "not_ready",
      "this node can't verify tokens now, because the OIDC issuer does not give its keys: try again, or use an API key",
    );
  }

  /** Waits for a fetch under way or a new one. Returns at once if none may begin. AppError `not_ready`. */
  async #wait(): Promise<void> {
    const fetching = this.#fetch();
    if (fetching === undefined) return;
    if (this.#waiting >= this.#source.limits.oidcVerificationsMax)
      throw new AppError("not_ready", "too many tokens wait for the keys of the OIDC issuer, try again");
    this.#waiting += 1;
    try {
      await fetching;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** The fetch under way, or a new one; undefined if none may begin yet. Never rejects. */
  #fetch(): Promise<void> | undefined {
    if (this.#fetching === undefined && this.#source.clock.monotonicMs() >= this.#nextFetchMs)
      this.#fetching = this.#fetchOnce().finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  async #fetchOnce(): Promise<void> {
    const { issuer, clock, limits } = this.#source;
    const startedMs = clock.monotonicMs();
    const intervalMs = limits.oidcKeysFetchIntervalMsMin;
    try {
      const documents = await fetchIssuerDocuments(this.#source);
      const fetched = createLocalJWKSet(documents.keys as JSONWebKeySet);
      const keys = fetched.jwks().keys.map((key) => JSON.stringify(key));
      // The machines of one issuer may list its keys in different orders.
      const text = keys.toSorted().join("\n");
      const known = this.#known?.text === text ? this.#known : undefined;
      const { find, number } = known ?? { find: fetched, number: (this.#known?.number ?? 0) + 1 };
      this.#known = { find, text, number, fetchedMs: startedMs };
      this.#discovery = documents.discovery;
      this.#failures = 0;
      this.#nextFetchMs = startedMs + intervalMs;
      metrics.oidcKeyFetches.inc({ result: "done" });
      if (known === undefined) log.info("{issuer} has {count} keys", { issuer, count: keys.length });
    } catch (error) {
      const delay = { minMs: Math.min(retryMsMin, intervalMs), maxMs: intervalMs };
      this.#nextFetchMs = clock.monotonicMs() + backoffMs(this.#failures++, delay, clock.random());
      metrics.oidcKeyFetches.inc({ result: "failed" });
      log.warning("the keys of the OIDC issuer {issuer} can't be fetched: {reason}", {
        issuer,
        reason: reasonOf(error),
      });
    } finally {
      this.#triedMs = clock.monotonicMs();
    }
  }
}

/** Undefined if no key matches, or if several keys match a token without the id of its key. */
async function findIn({ find, number }: KeySet, header: JWSHeaderParameters): Promise<FoundKey | undefined> {
  try {
    return { key: await find(header), keySet: number };
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return undefined;
    throw refusedToken("its key is not usable", error);
  }
}
