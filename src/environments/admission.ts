/**
 * Which senders may enter a hosted environment. A request reaches an environment only if it knows the sender; the default
 * one answers all others, so that no answer without a valid key or token tells which environments there are. The checks
 * for an environment that does not exist do the same work, with the keys of the default one.
 */
import { bearerIn, isApiKey } from "../http/middleware/access.ts";
import type { People } from "../http/oidc/people.ts";
import { isForwarded } from "../features/all-endpoints.ts";
import { hashKey } from "../store/keys/api-keys.ts";
import { matchingIndex, type NodeKeyHashes } from "../store/keys/node-keys.ts";
import { pathOf } from "../util/request-url.ts";
import type { RunningNode } from "../roles/node-service.ts";

/** `starting`: the node cannot say that yet. */
export type Admission = "admitted" | "refused" | "starting";

export interface EnvironmentsHere {
  readonly people: People | undefined;
  /** The service of the environment; undefined if none runs here. */
  readonly hosted: (environment: string) => RunningNode | undefined;
  readonly default: () => RunningNode;
  /** Whether requests for an environment without a service are refused with 503, because it may have one soon. */
  readonly isExpected: (environment: string) => boolean;
  /** Whether this node can tell of all its environments which keys are valid. */
  readonly knowsAllKeys: () => boolean;
  readonly nodeKeyHashes: () => NodeKeyHashes | undefined;
}

export class EnvironmentAdmission {
  readonly #here: EnvironmentsHere;

  constructor(here: EnvironmentsHere) {
    this.#here = here;
  }

  /** `authorization` is the header, which should be `Bearer` with an API key or with the token of a person. */
  of(
    environment: string,
    authorization: string,
    { method, url }: Pick<Request, "method" | "url">,
  ): Admission | Promise<Admission> {
    if (!/^bearer /i.test(authorization)) return "refused";
    if (!isApiKey(authorization)) return this.#ofPerson(environment, authorization);
    const hosted = this.#here.hosted(environment);
    const settled = (known: boolean | undefined): Admission => {
      if (known === true && hosted !== undefined) return "admitted";
      // A wrong key of an environment that runs is refused like one of an environment that cannot be asked yet.
      return this.#here.knowsAllKeys() ? "refused" : "starting";
    };
    const known = (hosted ?? this.#here.default()).knowsKey(authorization, () =>
      isForwarded(
        method,
        pathOf(url)
          .replaceAll(/\/{2,}/g, "/")
          .replace(/\/$/, ""),
      ),
    );
    return known instanceof Promise ? known.then(settled) : settled(known);
  }

  async #ofPerson(environment: string, authorization: string): Promise<Admission> {
    const { people, hosted, isExpected } = this.#here;
    const hasRole = await people?.hasRole(bearerIn(authorization), { environment, isHosted: true });
    if (hasRole !== true) return "refused";
    if (hosted(environment) !== undefined) return "admitted";
    return isExpected(environment) ? "starting" : "refused";
  }

  /** Whether the request comes from another node. */
  isOfNode({ headers }: Request): boolean {
    const accepted = (this.#here.nodeKeyHashes() ?? []).map((hash) => Buffer.from(hash, "hex"));
    const [scheme, key = ""] = (headers.get("authorization") ?? "").split(" ");
    const given = Buffer.from(hashKey(key), "hex");
    return scheme?.toLowerCase() === "bearer" && matchingIndex(given, accepted) !== undefined;
  }
}
