/** The overview of a primary and of an edge. */
import * as Bun from "bun";
import { describe, expect } from "bun:test";
import type { MetricsHistory } from "../../../src/console/ui/api/responses.ts";
import { formatDuration } from "../../../src/console/ui/components/format.ts";
import { localTime } from "../../../src/console/ui/components/times.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { adminKey, eventually } from "../../replication/cluster.ts";
import { updates } from "./browser.ts";
import { type Flow, flow } from "./flow.ts";

/** Decisions and writes for the charts of the screenshot. */
async function useFor(durationMs: number, flow: Flow, edge: string): Promise<void> {
  const headers = { authorization: `Bearer ${adminKey}`, "content-type": "application/json" };
  const users = ["alice", "bob", "carol", "dave", "erin", "mallory"];
  const end = performance.now() + durationMs;
  for (let count = 0; performance.now() < end; count++) {
    const body = JSON.stringify({ ...question, actor_id: users[count % users.length], resource_id: "compiler" });
    await fetch(`${edge}/api/authorize`, { method: "POST", headers, body });
    if (count % 50 !== 0) continue;
    const args = [{ type: "Issue", id: `issue-${count}` }];
    await flow.call("POST", "/api/batch", [{ inserts: [{ predicate: "is_locked", args }] }]);
    await Bun.sleep(100 + 50 * (count % 7));
  }
}

const question = { actor_type: "User", actor_id: "bob", action: "read", resource_type: "Repository", resource_id: "x" };

/** An hour with a gap, a sample alone in it, and a time without samples; a test cannot wait for a real one. */
function hourOf(history: MetricsHistory, endMs: number): MetricsHistory {
  const steps = Array.from({ length: 360 }, (_, index) => index).filter((index) => index < 150 || index > 200);
  const times = steps.map((index) => endMs - (359 - index) * 10_000);
  const values = steps.map((index) => (index >= 60 && index < 120 && index !== 90 ? null : 1 + (index % 40) / 10));
  return { ...history, times, series: mapped(history, () => values) };
}

function mapped({ series }: MetricsHistory, values: () => readonly (number | null)[]): MetricsHistory["series"] {
  return Object.fromEntries(Object.keys(series).map((name) => [name, values()])) as MetricsHistory["series"];
}

const timeZone = "Asia/Kolkata";

flow("charts name the latest values, or those under the pointer", async (flow) => {
  await flow.call("POST", "/api/authorize", question);
  const tab = await flow.logIn("admin", "changes", { timeZone });
  const { page } = tab;
  const endMs = Date.parse("2026-12-02T17:00:00Z");
  const history = (await flow.call("GET", "/api/metrics_history")) as MetricsHistory;
  const hour = hourOf(history, endMs);
  const nothing = { ...hour, times: [], series: mapped(hour, () => []) };
  await page.route(/metrics_history/, (route) =>
    route.fulfill({ json: route.request().url().includes("since") ? nothing : hour }),
  );
  await tab.open("overview");
  const chart = page.getByRole("figure").filter({ hasText: overviewTexts.charts.latency });
  const legend = chart.locator(".chart-legend");
  /** The text for the sample with that time, whatever it is. */
  const textAt = (time: string): string => {
    const index = hour.times.findIndex((ms) => time === localTime(ms, { timeZone }));
    const value = hour.series.decision_p50_ms[index] ?? null;
    const text = value === null ? texts.chart.notMeasured : formatDuration(value);
    return `${overviewTexts.charts.p50} ${text} ${overviewTexts.charts.p99} ${text} ${time}`;
  };
  const legendHas = (part: string): Promise<void> =>
    eventually(async () => {
      const text = (await legend.innerText()).replace(/\s+/g, " ").trim();
      expect(text).toContain(part);
      expect(text).toBe(textAt(/\d+ Dec 2026.*$/.exec(text)?.[0] ?? ""));
    });
  await legendHas(localTime(endMs, { timeZone }));
  const area = chart.locator(".u-over");
  const { width = 0, height = 0 } = (await area.boundingBox()) ?? {};
  const pointAt = (share: number) => area.hover({ position: { x: share * width, y: height / 2 } });
  await pointAt(0.1);
  await legendHas(" ms ");
  await pointAt(0.2);
  await legendHas(texts.chart.notMeasured);
  await page.mouse.move(0, 0);
  await legendHas(localTime(endMs, { timeZone }));
  await tab.expectAccessible();
});

describe("the overview", () => {
  flow("shows the node, its problems and its last hour", async (flow) => {
    for (let count = 0; count < 20; count++) await flow.call("POST", "/api/authorize", question);
    const tab = await flow.logIn("admin");
    const { page } = tab;
    await page.getByText(overviewTexts.noProblems).waitFor();
    await page.getByText("primary", { exact: true }).first().waitFor();
    await page.getByRole("img", { name: overviewTexts.charts.decisions }).waitFor({ timeout: 30_000 });
    await tab.expectAccessible();
    await page.getByLabel(texts.theme.label).selectOption("dark");
    await page.locator("html[data-theme=dark]").waitFor();
    await tab.open("nowhere");
    await tab.heading(texts.screens.notFound).waitFor();
    const edge = await flow.edge();
    const other = await flow.logIn("admin", "", { url: edge });
    await other.page.getByText("edge-a", { exact: true }).waitFor();
    const state = overviewTexts.states["LIVE"] ?? "";
    await other.page.getByText(state, { exact: true }).first().waitFor();
    if (updates) await useFor(60_000, flow, edge);
    await other.screenshot("overview");
  });
});
