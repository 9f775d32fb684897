/** The primary: store and log first, then broker and feed, then the API. Keys that its first start makes are shown once. */
import type { Config } from "../config/config.ts";
import type { MintedKeys } from "../replication/identity.ts";
import { startPrimaryNode } from "../replication/primary-node.ts";
import { realSystem, type System } from "../replication/system.ts";
import { print } from "../runtime/process.ts";
import { serveNode, type RunningRole } from "./node-service.ts";

export async function startPrimary(config: Config, system: System = realSystem): Promise<RunningRole> {
  const node = await startPrimaryNode(config, (minted) => print(mintedKeysText(minted)), undefined, system);
  return serveNode(config, node, system);
}

function mintedKeysText({ adminKey, nodeKey }: MintedKeys): string {
  const rule = "-".repeat(78);
  const lines = [
    rule,
    "Keys were made at this first start. They are shown this once: keep them.",
    ...(adminKey === undefined ? [] : [`  admin key (clients): ${adminKey}`]),
    ...(nodeKey === undefined ? [] : [`  node key (edges, fallbacks): ${nodeKey}`]),
    rule,
  ];
  return `${lines.join("\n")}\n`;
}
