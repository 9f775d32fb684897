/** All nodes in the overview: a healthy cluster, then one whose edge is gone. */
import { expect } from "bun:test";
import { nodeTexts } from "../../../src/console/ui/texts/nodes.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { flow } from "./flow.ts";

flow("the overview lists all nodes, and says what is wrong with one", async (flow) => {
  await flow.cluster.host("fallback", "fallback", { primary: flow.url, refresh: "1s" });
  const edge = await flow.cluster.host("edge", "edge-a", { primary: flow.url });
  const tab = await flow.logIn("read");
  const { page } = tab;
  const table = page.getByRole("region", { name: nodeTexts.title });
  await table.getByRole("rowheader", { name: nodeTexts.own("primary") }).waitFor();
  const row = table.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "edge-a", exact: true }) });
  await row.getByText(overviewTexts.states["LIVE"] ?? "", { exact: true }).waitFor();
  await row.getByText(nodeTexts.nothingLacks).waitFor();
  const fallback = table.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "fallback" }) });
  await fallback.getByText(overviewTexts.states["SNAPSHOT"] ?? "", { exact: true }).waitFor();
  await tab.expectAccessible();

  const other = await flow.logIn("read", "", { url: edge.url });
  const atEdge = other.page.getByRole("region", { name: nodeTexts.title });
  await atEdge.getByRole("rowheader", { name: nodeTexts.own("edge-a") }).waitFor();
  await atEdge.getByRole("rowheader", { name: "primary", exact: true }).waitFor();
  await other.close();

  await edge.stop();
  await page.getByText(/^edge-a was last heard of/).waitFor();
  await row.getByText(nodeTexts.gone).waitFor();
  await tab.expectAccessible();
  expect(await page.getByText(nodeTexts.problems.noPrimary.title).count()).toBe(0);
});
