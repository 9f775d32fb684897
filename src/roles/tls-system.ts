/**
 * The system of a node with TLS: its listeners present its certificate, its requests to other nodes verify theirs, and a
 * renewed certificate takes the place of the earlier one everywhere.
 */
import type { Config } from "../config/config.ts";
import type { Fetch, System } from "../replication/system.ts";
import { systemAuthorities, type TlsIdentity } from "../replication/tls-identity.ts";
import { connectNode, NodeUnreachable } from "../replication/transport/node-client.ts";
import { joinedTables } from "../runtime/accepted-connections.ts";
import { tlsFetchOptions } from "../runtime/fetch.ts";
import { type Listener, type ServeOptions, verifiesClients } from "../runtime/serve.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { certificateProblem } from "../util/certificate-problem.ts";
import { reasonOf } from "../util/reason.ts";
import { pathStart } from "../util/request-url.ts";
import type { ClusterSystem } from "./cluster-system.ts";

const log = getLogger("tls");

/** Without an identity the node presents nothing, and trusts the authorities of the system. AppError `conflict`. */
export function systemWithTls(system: ClusterSystem, config: Config, identity: TlsIdentity | undefined): ClusterSystem {
  const { primary, peers, nodePort } = config;
  if (nodePort !== 0 && !verifiesClients)
    throw new AppError(
      "conflict",
      "`advanced.nodePort` is for the built binary: this runtime can't ask clients for certificates; leave it out, or run the node with the binary",
    );
  const nodes = new Set([...(primary === undefined ? [] : [primary]), ...peers]);
  if (identity === undefined && ![...nodes].some((url) => url.startsWith("https:"))) return system;
  const fetch = nodeFetch(nodes, system.fetch, identity);
  return {
    ...system,
    fetch,
    connectNode: (options) => connectNode(options, { clock: system.clock, fetch }),
    ...(identity !== undefined && { nodeTls: () => identity.client }),
    ...(identity?.server !== undefined && {
      serve: (options: ServeOptions) => serveTls(options, config, identity, system.serve),
    }),
  };
}

/** Requests to other nodes with this node's certificate and authority. Requests to other services stay as they are. */
function nodeFetch(nodes: ReadonlySet<string>, fetch: Fetch, identity: TlsIdentity | undefined): Fetch {
  const names = {
    trusted: identity?.trusted ?? systemAuthorities,
    authority: "in `tlsCa`",
    certificate: identity?.presented ?? "in `tlsCert`",
  };
  // Kept until the files change, because each of them has connections of its own.
  let tls = identity && tlsFetchOptions(identity.client);
  identity?.onChange(() => (tls = tlsFetchOptions(identity.client)));
  return async (url, init) => {
    const node = url.slice(0, pathStart(url));
    if (!nodes.has(node)) return fetch(url, init);
    try {
      return await fetch(url, { ...init, ...tls });
    } catch (error) {
      const problem = certificateProblem(url, error, names);
      if (problem === undefined) throw error;
      throw new NodeUnreachable(node, problem, error);
    }
  };
}

const plainHost = "127.0.0.1";

/** Listens on the port, the port for nodes, and the port without TLS, as configured. */
function serveTls(
  options: ServeOptions,
  { nodePort, plainPort }: Config,
  identity: TlsIdentity,
  serve: System["serve"],
): Listener {
  const listen = (changes: Partial<ServeOptions>, servesNodes: boolean): Listener =>
    serve({
      ...options,
      ...changes,
      fetch: servesNodes ? options.fetch : refusingNodes(options.fetch),
      // Read at each access, because the role of the node can change.
      get websocket() {
        return servesNodes ? options.websocket : undefined;
      },
    });
  const servesNodes = nodePort === 0;
  const all: Listener[] = [];
  try {
    const main = listen({ tls: identity.server }, servesNodes);
    all.push(main);
    const forNodes = { port: nodePort, portFlag: "--node-port", tls: identity.nodeServer };
    const nodes = servesNodes ? undefined : listen(forNodes, true);
    if (nodes !== undefined) all.push(nodes);
    const plain = { hostname: plainHost, port: plainPort, portFlag: "--plain-port" };
    if (plainPort !== 0) all.push(listen(plain, servesNodes));
    const onFailure = (error: unknown): void =>
      log.error("clients get the earlier certificate, and this node tries again to present the renewed one: {reason}", {
        reason: reasonOf(error),
      });
    const stopRenewals = identity.onChange(() => {
      main.renew?.(must(identity.server), onFailure);
      nodes?.renew?.(must(identity.nodeServer), onFailure);
    });
    return {
      ...main,
      connections: joinedTables(all.map(({ connections }) => connections)),
      async stop() {
        stopRenewals();
        await Promise.all(all.map((listener) => listener.stop()));
      },
    };
  } catch (error) {
    for (const listener of all) void listener.stop();
    throw error;
  }
}

/** Routing takes several slashes for one. */
const nodePaths = /^(?:\/+environments\/+[^/]*)?\/+replication\//;

/** A listener without client certificates: requests of other nodes have a port of their own. */
function refusingNodes(fetch: ServeOptions["fetch"]): ServeOptions["fetch"] {
  return (request, connections) =>
    nodePaths.test(request.url.slice(pathStart(request.url))) ? nodesRefused() : fetch(request, connections);
}

function nodesRefused(): Response {
  const message =
    "requests of other nodes need a client certificate: name the `nodePort` of this node in their `primary` and `peers`";
  return Response.json({ message, code: "forbidden" }, { status: 403, headers: { Connection: "close" } });
}
