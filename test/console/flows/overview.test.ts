/** The overview, and what holds of all screens. */
import * as Bun from "bun";
import { describe, expect } from "bun:test";
import { texts } from "../../../src/console/ui/texts.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { adminKey } from "../../replication/cluster.ts";
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
    await other.page.getByText(overviewTexts.states["LIVE"] ?? "", { exact: true }).waitFor();
    if (updates) await useFor(60_000, flow, edge);
    await other.screenshot("overview");
  });
});

describe("every screen", () => {
  flow("works behind a proxy that adds a path prefix, while the node goes away and comes back", async (flow) => {
    const prefix = "/ops/ostiary";
    const serve = (port: number) =>
      Bun.serve({
        hostname: "127.0.0.1",
        port,
        fetch: (request) => {
          const { pathname, search } = new URL(request.url);
          if (!pathname.startsWith(`${prefix}/`)) return new Response(null, { status: 502 });
          const { method, headers } = request;
          const target = flow.url + pathname.slice(prefix.length) + search;
          return fetch(target, { method, headers, redirect: "manual", decompress: false });
        },
      });
    let proxy = serve(0);
    const port = Number(proxy.port);
    try {
      const tab = await flow.tab(`http://127.0.0.1:${port}${prefix}`);
      const { page } = tab;
      await page.goto(`http://127.0.0.1:${port}${prefix}/console`);
      expect(page.url()).toBe(`http://127.0.0.1:${port}${prefix}/console/`);
      await tab.logIn(adminKey);
      await page.getByText(overviewTexts.noProblems).waitFor();
      await proxy.stop(true);
      const banner = page.getByText("This node has not answered");
      await banner.waitFor({ timeout: 30_000 });
      await tab.heading(overviewTexts.title).waitFor();
      proxy = serve(port);
      await banner.waitFor({ state: "detached", timeout: 30_000 });
      await page.getByText(overviewTexts.noProblems).waitFor();
    } finally {
      await proxy.stop(true);
    }
  });
});
