/**
 * Finds out whether the other nodes have an environment. A node without the registry of environments asks for that, since
 * a cluster has none until its first environment is created.
 */
import type { Config } from "../config/config.ts";
import { systemOfEnvironment } from "../replication/transport/environment-system.ts";
import { sendWithNodeKey } from "../replication/transport/node-authorization.ts";
import type { ClusterSystem } from "../roles/cluster-system.ts";

/** Of a response 503 of a node that has no registry, and does not know yet whether another node has one: its role. */
export const noRegistryHeader = "Ostiary-No-Registry";

/** Between two questions to the other nodes. */
const intervalMs = 2000;
const timeoutMs = 2000;

export class EnvironmentDiscovery {
  readonly #config: Pick<Config, "primary" | "peers" | "nodeKey">;
  readonly #system: ClusterSystem;
  #nextMs = 0;

  constructor(config: Pick<Config, "primary" | "peers" | "nodeKey">, system: ClusterSystem, environment: string) {
    this.#config = config;
    this.#system = systemOfEnvironment(system, environment);
  }

  /**
   * Whether a node has a registry; `unsettled` if the primary does not know yet whether there is one. Undefined if no node
   * says it, or if they were asked a moment ago. With `all`, the answer is false only if each node says that it has none.
   */
  async find(all = false): Promise<boolean | "unsettled" | undefined> {
    const nowMs = this.#system.clock.monotonicMs();
    if (nowMs < this.#nextMs) return undefined;
    this.#nextMs = nowMs + intervalMs;
    const { primary, peers } = this.#config;
    const urls = new Set([...(primary === undefined ? [] : [primary]), ...peers]);
    const answers = await Promise.all([...urls].map((url) => this.#ask(url)));
    if (answers.includes(true)) return true;
    if (all) return answers.includes(undefined) ? undefined : false;
    if (answers.includes("primary")) return "unsettled";
    return answers.includes(false) ? false : undefined;
  }

  /** The role of a node that has none, and does not know yet whether another node has one. */
  async #ask(url: string): Promise<boolean | string | undefined> {
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const response = await sendWithNodeKey(this.#config.nodeKey ?? "", (headers) =>
        this.#system.fetch(`${url}/replication/v1/head`, { headers, signal, redirect: "error" }),
      );
      await response.body?.cancel();
      if (response.ok) return true;
      if (response.status === 503) return response.headers.get(noRegistryHeader) ?? undefined;
      return response.status === 404 ? false : undefined;
    } catch {
      return undefined;
    }
  }
}
