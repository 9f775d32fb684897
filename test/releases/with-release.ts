/** A cluster of today's code with the environment and the node key of a release. */
import { withCluster, type Cluster } from "../replication/cluster.ts";
import { readRelease, type Release } from "./recorded.ts";

export function withRelease(
  version: string,
  body: (cluster: Cluster, release: Release) => Promise<void>,
): Promise<void> {
  const release = readRelease(version);
  const { environment, nodeKey } = release;
  return withCluster((cluster) => body(cluster, release), { environment, nodeKey });
}
