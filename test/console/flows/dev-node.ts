/** A node of `ostiary dev` in this process, with the link to its console. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { devConfig } from "../../../src/cli/dev.ts";
import { type DevNode, startDev } from "../../../src/dev/dev.ts";

export interface DevConsole extends DevNode {
  /** A link that logs in, once. */
  link(): string;
}

/** Runs a node without policy files, and stops it after `body`. */
export async function withDevNode(body: (node: DevConsole) => Promise<void>): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), "ostiary-dev-"));
  const node = await startDev(devConfig({ port: "0" }, data, {}).config, []);
  try {
    await body({ ...node, link: () => `${node.url}/console/#/login/${node.createLoginCode()}` });
  } finally {
    await node.stop();
    rmSync(data, { recursive: true, force: true });
  }
}
