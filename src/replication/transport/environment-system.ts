/**
 * The system of a hosted environment: requests to other nodes name the environment. Requests between nodes have it in
 * the path, so that a node of an earlier version refuses them instead of taking them for the default environment.
 */
import { connectNode, type PeerSystem } from "./node-client.ts";
import type { Fetch } from "../system.ts";

const nodePath = /^(https?:\/\/[^/]+)(\/replication\/.*)$/s;

/** Adds the environment to the requests to other nodes. Requests to other services, such as etcd, stay as they are. */
export function systemOfEnvironment<S extends PeerSystem>(system: S, environment: string): S {
  const fetch: Fetch = (url, init) => {
    const [, origin, path] = nodePath.exec(url) ?? [];
    return system.fetch(path === undefined ? url : `${origin}/environments/${environment}${path}`, init);
  };
  return { ...system, fetch, connectNode: (options) => connectNode(options, { clock: system.clock, fetch }) };
}
