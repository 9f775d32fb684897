/**
 * One node for development: a primary that starts with the given policy and shows no keys, because its configuration
 * has the development key. Only it has test environments; otherwise the same code runs in production.
 */
import type { Config } from "../config/config.ts";
import { acceptPolicy } from "../engine/validation/policy-approval.ts";
import type { Source } from "../polar/source.ts";
import { realSystem } from "../replication/system.ts";
import { startPrimaryNode } from "./primary.ts";
import { serveNode, type RunningNode } from "./node-service.ts";
import { TestEnvironments } from "./test-environments.ts";

/** Throws `invalid_policy` with all problems if the policy is refused. */
export async function startDev(config: Config, sources: readonly Source[]): Promise<RunningNode> {
  // The files are checked one by one, so that problems name file and line, and loaded as one policy.
  if (sources.length > 0) acceptPolicy(sources, { runTests: true, limits: config.limits });
  const node = await startPrimaryNode(config);
  try {
    if (sources.length > 0) {
      const source = sources.map(({ text }) => text).join("\n");
      const filename = sources.map(({ name }) => name).join(", ");
      await node.writes.policy({ source, filename, force: true }, { traceparent: null });
    }
  } catch (error) {
    await node.stop();
    throw error;
  }
  return serveNode(config, node, realSystem, new TestEnvironments(config, node));
}
