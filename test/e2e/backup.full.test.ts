/**
 * Backup and restore with the built binary: a backup during writes, a restore after the primary is lost, and edges that
 * follow it.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { builtBinary, denoProgram } from "../../scripts/built-binary.ts";
import { Repository, User } from "../../scripts/example/facts.ts";
import { NodeProcess } from "../../scripts/node-process.ts";
import { eventually, healthOf, scenarioTimeoutMs, withCluster } from "./cluster.ts";

test.each([
  ["the built binary", builtBinary],
  ["Deno", () => denoProgram],
])(
  "a lost primary is restored from its backup, at a time before a mistake, by %s",
  (_name, program) =>
    withCluster({ broker: "embedded", edges: 1 }, async ({ primary, edges, client, adminKey, nodeKey, directory }) => {
      const [edge] = edges;
      if (edge === undefined) throw new Error("there is an edge");
      const binary = await program();
      const run = (parameters: string[]): string => {
        const ended = Bun.spawnSync([binary, ...parameters], {
          cwd: directory,
          env: { PATH: process.env["PATH"] ?? "", OSO_AUTH: adminKey, OSTIARY_NODE_KEY: nodeKey },
          timeout: 30_000,
        });
        expect([parameters[0], ended.exitCode, ended.stderr.toString()]).toEqual([parameters[0], 0, ""]);
        return ended.stdout.toString();
      };
      const mayDelete = (node: NodeProcess): Promise<boolean> =>
        client(node).authorize(User("alice"), "delete", Repository("compiler"));
      expect(await mayDelete(primary)).toBe(true);
      const { offset } = await healthOf(primary);
      const response = await fetch(`${primary.url}/api/clear_data`, {
        method: "POST",
        headers: { Authorization: `Bearer ${adminKey}` },
      });
      expect(response.status).toBe(200);
      await eventually(async () => !(await mayDelete(edge)), "the edge has no facts any more");

      run(["backup", "--url", primary.url, "--out", "over-http.backup"]);
      const made = JSON.parse(run(["backup", "--data", primary.directory, "--out", "all.backup", "--json"])) as object;
      expect(made).toMatchObject({ earliest: { offset: 0 }, newest: { offset: Number(offset) + 1 } });
      expect(statSync(join(directory, "all.backup")).mode & 0o777).toBe(0o600);
      await primary.kill();

      for (const file of ["over-http.backup", "all.backup"]) {
        const back = ["restore", file, "--data", "restored", "--to-offset", String(offset), "--force"];
        expect(run(back)).toContain(`restored to offset ${offset} of`);
      }
      const restored = new NodeProcess({
        binary,
        name: "restored",
        role: "primary",
        port: Number(new URL(primary.url).port),
        directory: join(directory, "restored"),
        environment: { OSTIARY_ADMIN_KEY: adminKey, OSTIARY_NODE_KEY: nodeKey, OSTIARY_MQTT_PORT: "0" },
      });
      try {
        await restored.start();
        expect(await mayDelete(restored)).toBe(true);
        await eventually(() => mayDelete(edge), "the edge follows the restored primary", 20_000);
      } finally {
        await restored.kill();
      }
    }),
  scenarioTimeoutMs,
);
