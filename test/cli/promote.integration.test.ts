/** `ostiary promote --dry-run`: what a promotion would do, and the status. */
import { expect, test } from "bun:test";
import { adminKey, eventually, withCluster } from "../replication/cluster.ts";
import { workspace } from "./workspace.ts";

const { run } = workspace();

test(
  "a dry run says what would happen, and its status whether the promotion would be refused",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const edge = await cluster.promotable("edge-a", { primary: primary.url });
      const dryRun = (url: string, ...flags: string[]) =>
        run(["promote", "--dry-run", "--url", url, ...flags], "", { OSO_AUTH: adminKey });
      await eventually(async () => {
        const { status, output, errors } = await dryRun(edge.url, "--graceful");
        expect({ status, output, errors }).toEqual({
          status: 0,
          errors: "",
          output: [
            `${edge.url} can become the primary`,
            "  this node   edge-a, at offset 1",
            `  primary     ${primary.url} answers`,
            "  other node  primary, primary, at offset 1",
            "  missing     0 events, which this node fetches first",
            "  lost        0 known events",
            "",
          ].join("\n"),
        });
      });
      const plain = await dryRun(edge.url);
      expect(plain.status).toBe(1);
      expect(plain.output).toStartWith(`${edge.url} would not become the primary\n`);
      expect(plain.output).toContain(`  refused     the primary ${primary.url} is alive`);
      const forced = await dryRun(edge.url, "--force", "--json");
      expect([forced.status, JSON.parse(forced.output)]).toEqual([
        0,
        expect.objectContaining({ node: "edge-a", possible: true, warnings: [expect.stringContaining("are lost")] }),
      ]);
      const atPrimary = await dryRun(primary.url);
      expect([atPrimary.status, atPrimary.output]).toEqual([
        1,
        expect.stringContaining("refused     this is a primary, only an edge can be promoted"),
      ]);
      const both = await dryRun(edge.url, "--force", "--graceful");
      expect([both.status, both.errors]).toEqual([1, expect.stringContaining("must not have both")]);
      // Nothing was promoted.
      expect(await (await fetch(`${edge.url}/healthcheck`)).json()).toMatchObject({ role: "edge" });
    }),
  60_000,
);
