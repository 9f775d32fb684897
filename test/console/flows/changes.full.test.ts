/** The change feed: live, one change with its nodes and its trace, and facts that look like markup. */
import { expect } from "bun:test";
import { changesTexts } from "../../../src/console/ui/texts/changes.ts";
import { waterfallTexts } from "../../../src/console/ui/texts/waterfall.ts";
import { flow } from "./flow.ts";
import { traced } from "./traced.ts";

traced();

const script = "<script>document.title = 'run'</script>";

function role(user: string) {
  return {
    predicate: "has_role",
    args: [
      { type: "User", id: user },
      { type: "String", id: "reader" },
      { type: "Repository", id: "kernel" },
    ],
  };
}

flow("changes appear by themselves, and one shows when each node had it and its trace", async (flow) => {
  await flow.edge();
  const tab = await flow.logIn("admin", "changes");
  const { page } = tab;
  await tab.heading(changesTexts.title).waitFor();
  const table = page.getByRole("region", { name: changesTexts.table });
  await table.getByText("Policy 1 became active").waitFor();
  await page.getByText(changesTexts.help(200)).waitFor();
  await flow.call("POST", "/api/batch", [{ inserts: [role(script)] }]);
  await table.getByText(`+ has_role(User:"${script}", "reader", Repository:kernel)`).waitFor();
  await tab.expectAccessible();
  expect(await page.title()).not.toBe("run");

  await table
    .getByRole("link", { name: changesTexts.facts(1, 0) })
    .first()
    .click();
  const applied = page.getByRole("region", { name: changesTexts.applied, exact: true }).last();
  const edge = applied.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "edge-a" }) });
  await edge.getByText(/ m?s$/).waitFor();
  const spans = page.getByRole("region", { name: waterfallTexts.label });
  await spans.getByText("append", { exact: true }).first().waitFor();
  await tab.expectAccessible();
  await page.getByRole("link", { name: changesTexts.openTrace }).click();
  await page.getByRole("heading", { level: 3, name: "POST /api/batch" }).waitFor();
  await tab.open("changes/999999");
  await page.getByText(changesTexts.notThere).or(page.getByRole("alert")).first().waitFor();
});

flow("a read key sees changes, but no trace, and a fallback without a log says so", async (flow) => {
  const tab = await flow.logIn("read", "changes");
  const { page } = tab;
  await flow.call("POST", "/api/batch", [{ inserts: [role("ann")] }]);
  await page
    .getByRole("link", { name: changesTexts.facts(1, 0) })
    .first()
    .click();
  await page.getByText(changesTexts.traceRole).waitFor();
  const other = await flow.logIn("read", "changes", { url: await flow.fallback() });
  await other.page.getByText(changesTexts.hasNoChanges).waitFor();
});
