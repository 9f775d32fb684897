/** `ostiary metrics` with a real node: its output as text and as JSON. */
import { expect, test } from "bun:test";
import { adminKey, eventually, post, withCluster } from "../replication/cluster.ts";
import { wildcardPolicy } from "../http/api.ts";
import { workspace } from "./workspace.ts";

const { run } = workspace();

test(
  "samples of a node are printed, oldest first",
  () =>
    withCluster(async (cluster) => {
      const { url } = await cluster.primary();
      const access = { OSO_URL: url, OSO_AUTH: adminKey };
      await post(url, "/api/policy", { src: wildcardPolicy });
      const question = { actor_type: "User", actor_id: "a", action: "read", resource_type: "Org", resource_id: "acme" };
      await post(url, "/api/authorize", question);
      await eventually(async () => {
        const { status, output, errors } = await run(["metrics", "--minutes", "60"], "", access);
        expect([status, errors]).toEqual([0, ""]);
        const [headings, ...lines] = output.trimEnd().split("\n");
        expect(headings).toMatch(/^TIME +DECISIONS\/S +ALLOWED +P50 +P99 +CACHED +VISIBLE +ERRORS\/S$/);
        expect(lines.some((line) => /^\S+Z +0\.\d+ +100% +\S+ ms +\S+ ms +0% /.test(line))).toBe(true);
      });
      const json = await run(["metrics", "--json"], "", access);
      const samples = json.output
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { readonly time: string });
      expect(samples[0]).toMatchObject({ values: { errors_per_second: 0 } });
      expect(samples).toEqual(samples.toSorted((a, b) => (a.time < b.time ? -1 : 1)));
      expect((await run(["metrics", "--minutes", "61"], "", access)).status).toBe(2);
    }),
  60_000,
);
