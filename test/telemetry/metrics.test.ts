/** Recorded values in the text format of Prometheus. */
import { expect, test } from "bun:test";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { environmentLabel } from "../../src/telemetry/environment-label.ts";
import { metrics, renderMetrics } from "../../src/telemetry/metrics.ts";

test("recorded values are rendered for Prometheus", async () => {
  // A route that no other test uses: all tests of a run share the metrics.
  const denied = async () =>
    Number(/ostiary_decisions_total\{result="deny"\} (\d+)/.exec(await renderMetrics())?.[1] ?? 0);
  const before = await denied();
  const labels = { method: "POST", route: "/api/rendered", status: 200, outcome: "ok" };
  for (const seconds of [0.00004, 0.0007, 0.001, 30]) metrics.httpDuration.observe(labels, seconds);
  metrics.fallbackHttpRequests.observe({ path: "/api/rendered", status_code: 200 }, 3);
  metrics.decisions.inc({ result: "deny" }, 2);
  expect(await denied()).toBe(before + 2);
  const text = await renderMetrics();
  expect(text).toContain("# TYPE ostiary_http_request_duration_seconds histogram\n");
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="0.00005",method="POST",route="/api/rendered",status="200",outcome="ok"} 1\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="0.0005",method="POST",route="/api/rendered",status="200",outcome="ok"} 1\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="0.001",method="POST",route="/api/rendered",status="200",outcome="ok"} 3\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="20",method="POST",route="/api/rendered",status="200",outcome="ok"} 3\n',
  );
  expect(text).toContain(
    'ostiary_http_request_duration_seconds_bucket{le="+Inf",method="POST",route="/api/rendered",status="200",outcome="ok"} 4\n',
  );
  const both = '{method="POST",route="/api/rendered",status="200",outcome="ok"}';
  expect(text).toContain(`ostiary_http_request_duration_seconds_sum${both} 30.00174\n`);
  expect(text).toContain(`ostiary_http_request_duration_seconds_count${both} 4\n`);
  expect(text).toContain('oso_fallback_http_requests_bucket{le="5",path="/api/rendered",status_code="200"} 1\n');
  expect(text).toMatch(/process_resident_memory_bytes \d+/);
});

test("series of hosted environments are labelled, those of the default environment are not", async () => {
  const labels = { method: "POST", route: "/api/of-environments", status: 200, outcome: "ok" };
  metrics.httpDuration.observe(labels, 0.001);
  inEnvironment("shop", () => metrics.httpDuration.observe(labels, 0.002));
  inEnvironment("bank", () => {
    metrics.httpDuration.observe(labels, 0.003);
    metrics.limitedRequests.inc({ limit: "reads" });
    metrics.decisionLogBytes.set(4711);
  });
  const text = await renderMetrics();
  const given = 'method="POST",route="/api/of-environments",status="200",outcome="ok"';
  expect(text).toContain(`ostiary_http_request_duration_seconds_sum{${given}} 0.001\n`);
  expect(text).toContain(`ostiary_http_request_duration_seconds_sum{${given},environment="shop"} 0.002\n`);
  expect(text).toContain(`ostiary_http_request_duration_seconds_count{${given},environment="bank"} 1\n`);
  expect(text).toContain('ostiary_limited_requests_total{limit="reads",environment="bank"} 1\n');
  expect(text).toContain('ostiary_decision_log_bytes{environment="bank"} 4711\n');
  expect(text).toMatch(/^ostiary_decision_log_bytes \d+$/m);
});

test("at most 50 environments have a value of their own", () => {
  const values = Array.from({ length: 100 }, (_, index) => inEnvironment(`e-${index}`, environmentLabel));
  const own = values.filter((value) => value !== "other");
  expect(own.length).toBeWithin(1, 51);
  expect(new Set(own).size).toBe(own.length);
  expect(environmentLabel()).toBeUndefined();
  // The first ones keep theirs.
  expect(inEnvironment("e-0", environmentLabel)).toBe("e-0");
});
