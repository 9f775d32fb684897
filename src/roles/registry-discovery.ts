/**
 * Finds out whether the other nodes have a registry of environments, for a node without one. A cluster has none until its
 * first environment is created.
 */
import type { Config } from "../config/config.ts";
import { systemOfEnvironment } from "../replication/transport/environment-system.ts";
import { sendWithNodeKey } from "../replication/transport/node-authorization.ts";
import type { ClusterSystem } from "./cluster-system.ts";
import { registryEnvironment } from "./environment-registry.ts";

/** Between two questions to the other nodes. */
const intervalMs = 2000;
const timeoutMs = 2000;

export class RegistryDiscovery {
  readonly #config: Pick<Config, "primary" | "peers" | "nodeKey">;
  readonly #system: ClusterSystem;
  #nextMs = 0;

  constructor(config: Pick<Config, "primary" | "peers" | "nodeKey">, system: ClusterSystem) {
    this.#config = config;
    this.#system = systemOfEnvironment(system, registryEnvironment);
  }

  /** Whether a node has a registry; undefined if no node says it, or if they were asked a moment ago. */
  async find(): Promise<boolean | undefined> {
    const nowMs = this.#system.clock.monotonicMs();
    if (nowMs < this.#nextMs) return undefined;
    this.#nextMs = nowMs + intervalMs;
    const { primary, peers } = this.#config;
    const urls = new Set([...(primary === undefined ? [] : [primary]), ...peers]);
    const answers = await Promise.all([...urls].map((url) => this.#ask(url)));
    if (answers.includes(true)) return true;
    return answers.includes(false) ? false : undefined;
  }

  async #ask(url: string): Promise<boolean | undefined> {
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const response = await sendWithNodeKey(this.#config.nodeKey ?? "", (headers) =>
        this.#system.fetch(`${url}/replication/v1/head`, { headers, signal, redirect: "error" }),
      );
      await response.body?.cancel();
      if (response.ok) return true;
      return response.status === 404 ? false : undefined;
    } catch {
      return undefined;
    }
  }
}
