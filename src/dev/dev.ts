/**
 * One node for development: a primary that starts with the given policy and shows no keys, because its configuration
 * has the development key. Only it has test environments; otherwise the same code runs in production.
 */
import { type Config, developmentKey } from "../config/config.ts";
import { acceptPolicy } from "../engine/validation/policy-approval.ts";
import type { Source } from "../polar/source.ts";
import { realSystem } from "../replication/system.ts";
import { operator } from "../store/log/audit-entry.ts";
import { LoginCode } from "./login-code.ts";
import { startAlone } from "../roles/node-parts.ts";
import { serveNode, type RunningNode } from "../roles/node-service.ts";
import { startPrimary } from "../roles/primary.ts";
import { DevEnvironments } from "./test-environments.ts";

export interface DevNode extends RunningNode {
  /** Replaces the policy. Throws `invalid_policy` with all problems if it is refused; the old policy stays then. */
  load(sources: readonly Source[]): Promise<void>;
  /** A new one-time code for the web console. */
  createLoginCode(): string;
}

/** Throws `invalid_policy` with all problems if the policy is refused. */
export async function startDev(config: Config, sources: readonly Source[]): Promise<DevNode> {
  // The files are checked one by one, so that problems name file and line, and loaded as one policy.
  const check = (files: readonly Source[]) => acceptPolicy(files, { runTests: true, limits: config.limits });
  if (sources.length > 0) check(sources);
  const node = await startAlone(config, (parts) => startPrimary(parts, config));
  const load = async (files: readonly Source[]): Promise<void> => {
    const source = files.map(({ text }) => text).join("\n");
    const filename = files.map(({ name }) => name).join(", ");
    const audit = node.audit.metaOf({ actor: operator(), action: "policy.upload", details: { filename, force: true } });
    await node.writes.policy({ source, filename, force: true }, { traceparent: null, audit });
  };
  try {
    if (sources.length > 0) await load(sources);
  } catch (error) {
    await node.stop();
    throw error;
  }
  const loginCode = new LoginCode(realSystem.clock);
  const redeemLoginCode = (code: string): string => {
    loginCode.redeem(code);
    return developmentKey;
  };
  const testEnvironments = new DevEnvironments(config, node);
  const served = await serveNode(config, node, realSystem, { testEnvironments, redeemLoginCode }).catch(
    async (error: unknown) => {
      await node.stop();
      throw error;
    },
  );
  return {
    ...served,
    stop: () => served.stop().finally(() => node.stop()),
    createLoginCode: () => loginCode.create(),
    load(files) {
      check(files);
      return load(files);
    },
  };
}
