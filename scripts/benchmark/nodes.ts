/** The measured nodes: a primary with its embedded broker and an edge, as processes. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../node-process.ts";
import { nodeSettings, type DecisionCache } from "./decision-cache.ts";

export interface Nodes {
  readonly primary: NodeProcess;
  readonly edge: NodeProcess;
  readonly adminKey: string;
  readonly nodeKey: string;
}

/** One thread answers, so that ratios are the same on any number of cores. */
export const oneThread: Readonly<Record<string, string>> = { OSTIARY_THREADS: "1" };

/**
 * `body` starts the primary and the edge. Both are stopped after it, or when the process ends. `environment` are further
 * settings of both.
 */
export async function withNodes(
  binary: string,
  directory: string,
  decisionCache: DecisionCache,
  body: (nodes: Nodes) => Promise<void>,
  environment: Readonly<Record<string, string>> = oneThread,
): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const nodes = await describeNodes(binary, directory, decisionCache, environment);
  const edgeFirst = [nodes.edge, nodes.primary];
  const kill = (): void => edgeFirst.forEach((node) => void node.kill());
  process.once("exit", kill);
  try {
    await body(nodes);
  } catch (error) {
    for (const { name, output } of edgeFirst) console.error(`--- the last output of ${name}\n${output.slice(-2000)}`);
    throw error;
  } finally {
    for (const node of edgeFirst) await node.stop();
    process.removeListener("exit", kill);
  }
}

async function describeNodes(
  binary: string,
  directory: string,
  decisionCache: DecisionCache,
  further: Readonly<Record<string, string>>,
): Promise<Nodes> {
  const [primaryPort, edgePort] = [await freePort(), await freePort()];
  const { OSTIARY_ADMIN_KEY: adminKey = newAdminKey() } = further;
  const nodeKey = randomHex(32);
  const settings = nodeSettings(decisionCache, directory);
  const node = (role: "primary" | "edge", port: number, environment: Readonly<Record<string, string>>) =>
    new NodeProcess({
      binary,
      name: role,
      role,
      port,
      directory: join(directory, role),
      environment: { OSTIARY_NODE_KEY: nodeKey, OSTIARY_LOG_LEVEL: "warning", ...settings, ...further, ...environment },
    });
  return {
    primary: node("primary", primaryPort, { OSTIARY_ADMIN_KEY: adminKey, OSTIARY_MQTT_PORT: "0" }),
    edge: node("edge", edgePort, { OSTIARY_PRIMARY: `http://127.0.0.1:${primaryPort}` }),
    adminKey,
    nodeKey,
  };
}
