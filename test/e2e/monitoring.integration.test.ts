/**
 * A real Prometheus with the shipped configuration, rules and dashboards: it accepts them, finds the series of a cluster,
 * and fires for a node that ends. `monitoring.full.test.ts` causes the failure of each alert.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { must } from "../../src/util/assert.ts";
import { alertRules, dashboards, observability } from "../telemetry/observability.ts";
import { scenarioTimeoutMs, withCluster } from "./cluster.ts";
import { expectSeries, quick, startLoad } from "./monitored-load.ts";
import { Prometheus, promtool } from "./prometheus.ts";

test(
  "promtool accepts the rules and the configuration, and the unit tests of the alerts pass",
  () => {
    const rules = promtool(["check", "rules", "--lint=all", "--lint-fatal", join(observability, "ostiary.rules.yaml")]);
    expect(rules).toMatchObject({ status: 0 });
    expect(rules.output).toContain(`${alertRules.length} rules found`);
    expect(promtool(["check", "config", "--syntax-only", join(observability, "prometheus.yaml")])).toMatchObject({
      status: 0,
    });
    const files = ["ostiary.rules.test.yaml", "ostiary.rules.days.test.yaml"];
    const units = promtool(["test", "rules", ...files.map((name) => join(projectRoot, "test", "telemetry", name))]);
    expect(units).toMatchObject({ status: 0, output: expect.stringContaining("SUCCESS") });
  },
  scenarioTimeoutMs,
);

test(
  "dashboards have series of a cluster under load, and an alert fires when a node ends",
  () =>
    withCluster({ broker: "embedded", edges: 1, fallback: true, environment: quick }, async (cluster) => {
      const { primary, edges, fallback, adminKey, directory } = cluster;
      const edge = must(edges[0]);
      const nodes = [primary, edge, fallback];
      const options = { key: adminKey, console: primary.url, targets: nodes };
      const prometheus = await Prometheus.start(join(directory, "prometheus"), options);
      try {
        const load = startLoad(cluster, nodes);
        try {
          for (const [name, content] of dashboards)
            await expectSeries(prometheus, content, name === "node.json" ? new URL(edge.url).host : ".*", "default");
        } finally {
          await load.stop();
        }
        expect(await prometheus.ruleErrors()).toEqual([]);
        await edge.kill();
        const { annotations } = await prometheus.fires("OstiaryNodeDown", edge);
        expect(annotations["runbook_url"]).toStartWith(`${primary.url}/console/#/manual/`);
      } finally {
        await prometheus.kill();
      }
    }),
  2 * scenarioTimeoutMs,
);
