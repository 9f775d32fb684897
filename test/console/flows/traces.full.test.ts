/** Traces: the list with its percentiles, a filter as a link, and the waterfall of a decision. */
import { expect, test } from "bun:test";
import { decisionsTexts } from "../../../src/console/ui/texts/decisions.ts";
import { tracesTexts } from "../../../src/console/ui/texts/traces.ts";
import { waterfallTexts } from "../../../src/console/ui/texts/waterfall.ts";
import { randomHex } from "../../../scripts/node-process.ts";
import { scenarioTimeoutMs, withCluster } from "../../e2e/cluster.ts";
import { eventually } from "../../replication/cluster.ts";
import { addFilter, openTab } from "./browser.ts";
import { flow } from "./flow.ts";
import { traced } from "./traced.ts";

traced();

const question = { actor_type: "User", actor_id: "bob", action: "read", resource_type: "Repository", resource_id: "x" };
const name = "POST /api/authorize";

flow(
  "decisions are listed with the percentiles of their phases, and one is a waterfall",
  async (flow) => {
    const since = new Date().toISOString();
    for (let count = 0; count < 5; count++)
      await flow.call("POST", "/api/authorize", { ...question, resource_id: `r${count}` });
    const tab = await flow.logIn("admin", "traces");
    const { page } = tab;
    await tab.heading(tracesTexts.title).waitFor();
    const table = page.getByRole("region", { name: tracesTexts.table }).last();
    await table.getByRole("link", { name }).first().waitFor();
    // Requests of the console itself are shown only on demand.
    expect(await table.getByRole("link", { name: /whoami|traces/ }).count()).toBe(0);
    await page.getByLabel(tracesTexts.showAll).check();
    await table
      .getByRole("link", { name: /whoami/ })
      .first()
      .waitFor();
    await page.getByLabel(tracesTexts.showAll).uncheck();
    await addFilter(tab, tracesTexts.route, "/api/authorize");
    await page.waitForURL(/traces\?route=/);
    // Other flows of this process have left older traces.
    await tab.open(`traces?route=${encodeURIComponent("/api/authorize")}&since=${encodeURIComponent(since)}`);
    await page.getByRole("button", { name: new RegExp(`^Remove ${tracesTexts.since}`) }).waitFor();
    const segments = page.getByRole("region", { name: tracesTexts.segments }).last();
    for (const phase of ["decode", "plan", "query", "reply"])
      await segments.getByRole("rowheader", { name: phase, exact: true }).waitFor();
    await eventually(async () =>
      expect(await table.getByRole("link").allTextContents()).toEqual(Array.from({ length: 5 }, () => name)),
    );
    await tab.expectAccessible();

    await table.getByRole("link", { name }).last().click();
    await page.getByRole("heading", { level: 3, name: tracesTexts.titleOf(name) }).waitFor();
    const spans = page.getByRole("region", { name: waterfallTexts.label });
    expect(await spans.getByRole("rowheader").allTextContents()).toEqual([name, "decode", "plan", "query", "reply"]);
    const link = page.getByRole("link", { name: waterfallTexts.external });
    expect(await link.getAttribute("href")).toMatch(/^https:\/\/traces\.example\/[0-9a-f]{32}$/);
    await tab.expectAccessible();
    await tab.open(`traces/${"0".repeat(31)}1`);
    await page.getByText(tracesTexts.notThere).waitFor();

    // A logged decision leads to its trace.
    await tab.open("decisions");
    await page.getByRole("link", { name: decisionsTexts.whyOf("User:bob read Repository:r0") }).click();
    await page.getByRole("link", { name: /^[0-9a-f]{32}$/ }).click();
    await page.getByRole("heading", { level: 3, name: tracesTexts.titleOf(name) }).waitFor();
  },
  { flags: { "advanced.traceUrl": "https://traces.example/{traceId}", "decisions.log": "all" } },
);

test(
  "a write through an edge is a waterfall across all nodes",
  () =>
    withCluster(
      { broker: "embedded", environment: { OSTIARY_TRACE_RECENT_PER_SECOND: "1000" } },
      async ({ edges, adminKey }) => {
        const [edge, other] = edges;
        const url = edge?.url ?? "";
        const id = randomHex(16);
        const args = [
          { type: "User", id: "tess" },
          { type: "String", id: "reader" },
          { type: "Repository", id: "kernel" },
        ];
        const written = await fetch(`${url}/api/batch`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${adminKey}`,
            "content-type": "application/json",
            traceparent: `00-${id}-${randomHex(8)}-01`,
          },
          body: JSON.stringify([{ inserts: [{ predicate: "has_role", args }] }]),
        });
        expect(written.status).toBe(200);
        const tab = await openTab(url);
        const { page } = tab;
        try {
          await tab.logIn(adminKey);
          await page.getByRole("navigation").waitFor();
          await tab.open("traces");
          const table = page.getByRole("region", { name: tracesTexts.table }).last();
          await table.getByRole("link", { name: "POST /api/batch" }).first().waitFor();
          await tab.open(`traces/${id}`);
          await page.getByRole("heading", { level: 3, name: tracesTexts.titleOf("POST /api/batch") }).waitFor();
          const spans = page.getByRole("region", { name: waterfallTexts.label });
          for (const node of [edge?.name, "primary", other?.name])
            await spans
              .getByRole("cell", { name: node ?? "", exact: true })
              .first()
              .waitFor();
          for (const name of ["forward", "validate", "append", "publish", "receive", "apply", "commit to visible"])
            await spans.getByRole("rowheader", { name, exact: true }).first().waitFor();
          await tab.expectAccessible();
          await tab.screenshot("traces");
          expect(tab.problems).toEqual([]);
        } finally {
          await tab.close();
        }
      },
    ),
  scenarioTimeoutMs,
);

flow("a write key sees no traces, and the node refuses them", async (flow) => {
  const tab = await flow.logIn("write");
  expect(await tab.page.getByRole("navigation").getByRole("link", { name: tracesTexts.title }).count()).toBe(0);
  const refused = await fetch(`${flow.url}/api/traces`, {
    headers: { authorization: `Bearer ${await flow.key("write")}` },
  });
  expect(refused.status).toBe(403);
});
