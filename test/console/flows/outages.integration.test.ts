/** Outages of the node: nothing stays blank or claims what is not known, and everything is loaded again without a click. */
import { expect } from "bun:test";
import { texts } from "../../../src/console/ui/texts.ts";
import { factsTexts } from "../../../src/console/ui/texts/facts.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { flow } from "./flow.ts";
import { banner, expectNothingGood } from "./outages.ts";

flow("a stopped node leaves no dead screen, and no green statement", async (flow) => {
  const tab = await flow.logIn("admin");
  const { page } = tab;
  await page.getByText(overviewTexts.noProblems).waitFor();
  await flow.stopPrimary();
  await banner(tab).waitFor();
  await page.getByText(overviewTexts.noFreshAnswer).waitFor();
  await expectNothingGood(tab);
  await page
    .getByText(/^\d+ s old$/)
    .first()
    .waitFor();
  await tab.expectAccessible();
  // The code of this screen was not loaded before.
  await page.getByRole("link", { name: texts.screens.facts, exact: true }).click();
  await page.getByText(texts.remote.noAnswer).waitFor();
  await tab.expectAccessible();
  await flow.startPrimary();
  await tab.heading(factsTexts.title).waitFor();
  await page.getByRole("row").filter({ hasText: "grants_role(" }).first().waitFor();
  expect(await banner(tab).count()).toBe(0);
  await tab.open("overview");
  await page.getByText(overviewTexts.noProblems).waitFor();
});

flow("a screen whose code once failed to load is shown by a new page, which is loaded once", async (flow) => {
  const tab = await flow.logIn("admin");
  const { page } = tab;
  await page.getByText(overviewTexts.noProblems).waitFor();
  const pages: string[] = [];
  page.on("request", (request) => request.isNavigationRequest() && pages.push(request.url()));
  // Browsers keep the failure, so no later attempt of this page succeeds.
  let failures = 0;
  await page.route(/\/facts-[^/]*\.js$/, (route) => (failures++ === 0 ? route.abort() : route.continue()));
  await page.getByRole("link", { name: texts.screens.facts, exact: true }).click();
  await page.getByRole("row").filter({ hasText: "grants_role(" }).first().waitFor();
  expect(pages.length).toBe(1);
  await page.route(/\/traces-[^/]*\.js$/, (route) => route.abort());
  await page.getByRole("link", { name: texts.screens.traces, exact: true }).click();
  await page.getByRole("button", { name: texts.remote.reload }).waitFor();
  expect(pages.length).toBe(2);
});
