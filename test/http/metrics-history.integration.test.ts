/** `GET /api/metrics_history` of a real node. */
import { expect, test } from "bun:test";
import { eventually } from "../replication/cluster.ts";
import { wildcardPolicy, withPrimary } from "./api.ts";

interface History {
  readonly times: readonly number[];
  readonly series: Readonly<Record<string, readonly (number | null)[]>>;
}

test(
  "the history of metrics has the decisions of a node",
  () =>
    withPrimary(async ({ call }) => {
      await call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const question = { actor_type: "User", actor_id: "a", action: "read", resource_type: "Org", resource_id: "acme" };
      await call("POST", "/api/authorize", { body: question });
      const read = async (query = "") => (await call("GET", `/api/metrics_history${query}`)).json as History;
      await eventually(async () => {
        const { times, series } = await read();
        expect(Math.max(...(series["decisions_per_second"] ?? []).map(Number))).toBeGreaterThan(0);
        expect(Object.values(series).every((values) => values.length === times.length)).toBe(true);
      }, 60_000);
      expect((await read("?since=2999-01-01T00:00:00Z")).times).toEqual([]);
      expect((await call("GET", "/api/metrics_history?since=yesterday")).status).toBe(400);
    }),
  60_000,
);
