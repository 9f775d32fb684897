/** `GET /api/metrics_history` of a real node, and `ostiary metrics`, which prints it. */
import { describe, expect, test } from "bun:test";
import { adminKey, eventually } from "../replication/cluster.ts";
import { workspace } from "../cli/workspace.ts";
import { User, wildcardPolicy, withPrimary } from "./api.ts";

const { run } = workspace();
const timeoutMs = 60_000;

interface History {
  readonly times: readonly number[];
  readonly series: Readonly<Record<string, readonly (number | null)[]>>;
}

describe("the history of metrics", () => {
  test(
    "has the decisions of a node, and is printed on the command line",
    () =>
      withPrimary(async ({ url, call }) => {
        await call("POST", "/api/policy", { body: { src: wildcardPolicy } });
        const { type, id } = User("alice");
        const question = { actor_type: type, actor_id: id, action: "read", resource_type: "Org", resource_id: "acme" };
        await call("POST", "/api/authorize", { body: question });
        const read = async (query = "") => (await call("GET", `/api/metrics_history${query}`)).json as History;
        await eventually(async () => {
          const { times, series } = await read();
          expect(Math.max(...(series["decisions_per_second"] ?? []).map(Number))).toBeGreaterThan(0);
          expect(Object.values(series).every((values) => values.length === times.length)).toBe(true);
        }, 30_000);
        expect((await read("?since=2999-01-01T00:00:00Z")).times).toEqual([]);
        const { status, output, errors } = await run(["metrics", "--minutes", "60"], "", {
          OSO_URL: url,
          OSO_AUTH: adminKey,
        });
        expect([status, errors]).toEqual([0, ""]);
        const [headings, ...lines] = output.trimEnd().split("\n");
        expect(headings).toMatch(/^TIME +DECISIONS\/S +ALLOWED +P50 +P99 +CACHED +VISIBLE +ERRORS\/S$/);
        expect(lines.some((line) => /^\S+Z +0\.\d+ +0% /.test(line))).toBe(true);
        const json = await run(["metrics", "--json"], "", { OSO_URL: url, OSO_AUTH: adminKey });
        expect(JSON.parse(json.output.split("\n")[0] ?? "")).toMatchObject({ values: { errors_per_second: 0 } });
        expect((await run(["metrics", "--minutes", "61"], "", { OSO_URL: url, OSO_AUTH: adminKey })).status).toBe(2);
      }),
    timeoutMs,
  );
});
