/**
 * One node to develop against: a primary that shows no keys (the one that everybody knows is in its configuration) and starts with the given
 * policy. Nothing of it is a stand-in; what runs here runs the same in production.
 */
import type { Config } from "../config/config.ts";
import { startPrimaryNode, type PrimaryNode } from "../replication/primary-node.ts";
import { serveNode, type RunningRole } from "./node-service.ts";

/** A policy file as it was read. */
export interface PolicySource {
  readonly name: string;
  readonly text: string;
}

/** Throws where the policy is refused, with all its problems. */
export async function startDev(config: Config, sources: readonly PolicySource[]): Promise<RunningRole> {
  const node = await startPrimaryNode(config);
  try {
    await loadPolicy(node, sources);
  } catch (error) {
    await node.stop();
    throw error;
  }
  return serveNode(config, node);
}

/** Several files form one policy. */
async function loadPolicy(node: PrimaryNode, sources: readonly PolicySource[]): Promise<void> {
  if (sources.length === 0) return;
  const source = sources.map(({ text }) => text).join("\n");
  const filename = sources.map(({ name }) => name).join(", ");
  await node.writes.policy({ source, filename, force: false }, { traceparent: null });
}
