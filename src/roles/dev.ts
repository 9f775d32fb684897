/**
 * One node to develop against: a primary that shows no keys (the one that everybody knows is in its configuration) and starts with the given
 * policy. Nothing of it is a stand-in; what runs here runs the same in production.
 */
import type { Config } from "../config/config.ts";
import { acceptPolicy } from "../engine/validation/accept-policy.ts";
import type { Source } from "../polar/source.ts";
import { startPrimaryNode, type PrimaryNode } from "./primary.ts";
import { serveNode, type RunningNode } from "./node-service.ts";

/** Throws `invalid_policy` where the policy is refused, with all its problems. */
export async function startDev(config: Config, sources: readonly Source[]): Promise<RunningNode> {
  // Checked as the files that they are, so that problems name file and line; loaded as the one policy that they form.
  if (sources.length > 0) acceptPolicy(sources, { runTests: true, limits: config.limits });
  const node = await startPrimaryNode(config);
  try {
    if (sources.length > 0) await loadPolicy(node, sources);
  } catch (error) {
    await node.stop();
    throw error;
  }
  return serveNode(config, node);
}

async function loadPolicy(node: PrimaryNode, sources: readonly Source[]): Promise<void> {
  const source = sources.map(({ text }) => text).join("\n");
  const filename = sources.map(({ name }) => name).join(", ");
  await node.writes.policy({ source, filename, force: true }, { traceparent: null });
}
