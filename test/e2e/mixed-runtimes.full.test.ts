/** Nodes on two runtimes: the primary moves between them, data directories do, and commands print the same. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { builtBinary, denoProgram as deno, projectRoot } from "../../scripts/built-binary.ts";
import { Repository, User } from "../../scripts/example/facts.ts";
import { questions } from "../../scripts/example/questions.ts";
import type { NodeProcess } from "../../scripts/node-process.ts";
import { eventually, expectConverged, healthOf, withCluster, type Cluster } from "./cluster.ts";

/** Deno compiles the program at the first start. */
const timeoutMs = 120_000;

test(
  "a node on Deno becomes the primary, a node on Bun follows it, and the primary moves back",
  () =>
    withCluster({ broker: "embedded", edges: 0 }, async (cluster) => {
      const { client, node, adminKey } = cluster;
      // The port of a node is known when it is described, and each needs the addresses of the others.
      const [first, second, third] = [
        await node("first", "primary"),
        await node("second", "edge", {}, deno),
        await node("third", "edge"),
      ];
      await cluster.primary.stop();
      cpSync(cluster.primary.directory, first.directory, { recursive: true });
      const peers = {
        OSTIARY_PEERS: [first, second, third].map(({ url }) => url).join(","),
        OSTIARY_ADMIN_KEY: adminKey,
        OSTIARY_ACK: "edges:1",
      };
      const follow = { ...peers, OSTIARY_PRIMARY: first.url };
      first.launch(peers);
      second.launch(follow);
      third.launch(follow);
      await Promise.all([second, third].map((one) => one.ready(({ state }) => state === "LIVE")));
      await expectExample(cluster, second);

      for (const [old, next] of [
        [first, second],
        [second, first],
      ] as const) {
        const promoted = await fetch(`${next.url}/api/promote`, {
          method: "POST",
          headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
          body: JSON.stringify({ graceful: true }),
        });
        expect({ status: promoted.status, body: await promoted.text() }).toMatchObject({ status: 200 });
        const others = [old, third];
        await Promise.all(others.map((one) => one.ready(({ role, state }) => role === "edge" && state === "LIVE")));
        // A write through an edge reaches the new primary, and its token holds on the other edge.
        await client(third).insert(["has_role", User(next.name), "reader", Repository("kernel")]);
        await expectConverged(next, others);
        for (const one of others)
          expect(await client(one).authorize(User(next.name), "read", Repository("kernel"))).toBe(true);
      }
    }),
  timeoutMs,
);

test(
  "a data directory of one runtime opens on the other with the same digest",
  () =>
    withCluster({ broker: "embedded", edges: 0 }, async (cluster) => {
      const { primary, client, node } = cluster;
      const { digest } = await healthOf(primary);
      await primary.stop();
      const other = await node("primary-deno", "primary", {}, deno);
      cpSync(primary.directory, other.directory, { recursive: true });
      await other.start();
      expect((await healthOf(other)).digest).toBe(digest);
      await client(other).insert(["is_banned", User("alice")]);
      const written = await healthOf(other);
      await other.stop();
      const back = await node("primary-back", "primary");
      cpSync(other.directory, back.directory, { recursive: true });
      await back.start();
      expect(await healthOf(back)).toMatchObject({ digest: written.digest });
      await eventually(
        async () => !(await client(back).authorize(User("alice"), "delete", Repository("compiler"))),
        "the ban is there",
      );
    }),
  timeoutMs,
);

test(
  "commands give the same output on both runtimes",
  async () => {
    const policy = join(projectRoot, "scripts", "example", "policy.polar");
    const built = await builtBinary();
    for (const command of [
      ["validate", policy],
      ["fmt", "--check", policy],
      ["test", policy],
      ["plan", policy, "allow(User:_, read, Repository:?)"],
      ["explain-rules", policy],
      ["config", "--json", "--role", "primary"],
    ]) {
      const [onBun, onDeno] = [built, deno].map((program) => {
        const options = { cwd: projectRoot, stdout: "pipe", stderr: "pipe" } as const;
        const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...command], options);
        return { command, exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
      });
      expect(onDeno).toEqual(onBun);
      expect(onBun).toMatchObject({ command, exitCode: 0 });
    }
  },
  timeoutMs,
);

async function expectExample({ client }: Cluster, node: NodeProcess): Promise<void> {
  for (const { text, ask, expected } of questions)
    expect({ node: node.name, text, answer: await ask(client(node)) }).toEqual({
      node: node.name,
      text,
      answer: expected,
    });
}
