/**
 * A fallback answers from its database on disk when it reaches no node, gives the age of its data, and refuses writes.
 */
import { expect, test } from "bun:test";
import { Repository, User } from "../../scripts/example/facts.ts";
import { questions } from "../../scripts/example/questions.ts";
import { eventually, expectConverged, healthOf, scenarioTimeoutMs, withCluster } from "./cluster.ts";

test(
  "a fallback starts from its disk without other nodes, answers, and refuses writes",
  () =>
    withCluster({ broker: "embedded", edges: 0, fallback: true }, async ({ primary, fallback, client, adminKey }) => {
      await expectConverged(primary, [fallback]);
      await fallback.stop();
      await primary.kill();
      await fallback.start();

      const oso = client(fallback);
      for (const { text, ask, expected } of questions)
        expect({ text, answer: await ask(oso) }).toEqual({ text, answer: expected });
      const metrics = await (
        await fetch(`${fallback.url}/metrics`, { headers: { Authorization: `Bearer ${adminKey}` } })
      ).text();
      expect(Number(/^oso_fallback_snapshot_age_ms(?:\{[^}]*\})? (\d+)/m.exec(metrics)?.[1])).toBeGreaterThan(0);

      const before = await healthOf(fallback);
      for (const path of ["batch", "policy", "clear_data"]) {
        const refused = await fetch(`${fallback.url}/api/${path}`, {
          method: "POST",
          headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
          body: path === "batch" ? "[]" : path === "policy" ? '{"src":"actor User {}","filename":null}' : "",
        });
        expect({ path, refused: refused.status >= 400 }).toEqual({ path, refused: true });
        expect(((await refused.json()) as { message: string }).message).toContain("fallback");
      }
      expect((await healthOf(fallback)).digest).toBe(before.digest);

      // It downloads the next snapshot itself when a node is reachable.
      await primary.start();
      await client(primary).insert(["is_banned", User("carol")]);
      await eventually(
        async () => !(await oso.authorize(User("carol"), "read", Repository("website"))),
        "the next snapshot arrives",
      );
      await expectConverged(primary, [fallback]);
    }),
  scenarioTimeoutMs,
);

test(
  "a fallback without a database is not healthy, and becomes healthy when the primary is reachable",
  () =>
    withCluster({ broker: "embedded", edges: 0 }, async ({ primary, fallback, adminKey }) => {
      await primary.kill();
      fallback.launch();
      await eventually(async () => (await fallback.health()) !== undefined, "the fallback serves its health");
      const health = await fetch(`${fallback.url}/healthcheck`);
      expect(health.status).toBe(503);
      const question = await fetch(`${fallback.url}/api/policy`, { headers: { Authorization: `Bearer ${adminKey}` } });
      expect(question.status).toBe(503);
      expect(question.headers.get("Retry-After")).not.toBeNull();
      await primary.start();
      await fallback.ready();
      await expectConverged(primary, [fallback]);
    }),
  scenarioTimeoutMs,
);
