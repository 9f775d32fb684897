/** The overview of a primary and of an edge. */
import * as Bun from "bun";
import { describe } from "bun:test";
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
    const state = overviewTexts.states["LIVE"] ?? "";
    await other.page.getByText(state, { exact: true }).first().waitFor();
    if (updates) await useFor(60_000, flow, edge);
    await other.screenshot("overview");
  });
});
