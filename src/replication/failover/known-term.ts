/** The greatest term that other nodes know. A restored history begins after it, so that those nodes follow it. */
import type { Config } from "../../config/config.ts";
import { deadline } from "../../util/clock.ts";
import { connectPeers } from "../transport/open-peers.ts";
import type { PeerSystem } from "../transport/node-client.ts";

export interface KnownTerm {
  /** 0 if no node answered. */
  readonly term: number;
  /** The nodes that did not answer. */
  readonly silent: readonly string[];
}

const timeoutMs = 5000;

/**
 * Asks the configured peers and, on an edge, the configured primary, all at the same time. Without a node key it asks
 * none.
 */
export async function askKnownTerm(config: Config, system: PeerSystem): Promise<KnownTerm> {
  const { primary, peers } = config;
  const urls = [...new Set([...(primary === undefined ? [] : [primary]), ...peers])];
  const nodes = connectPeers({ ...config, peers: urls }, system);
  using late = deadline(system.clock, timeoutMs);
  const tooLate = new Promise<undefined>((resolve) => late.signal.addEventListener("abort", () => resolve(undefined)));
  const answers = await Promise.all(
    nodes.map(async ({ url, client }) => {
      const head = await Promise.race([client.head(undefined).catch(() => undefined), tooLate]);
      client.close();
      return { url, term: head?.s === config.environment ? Math.max(head.n, head.promised ?? 0) : undefined };
    }),
  );
  return {
    term: Math.max(0, ...answers.map(({ term = 0 }) => term)),
    silent: answers.filter(({ term }) => term === undefined).map(({ url }) => url),
  };
}
