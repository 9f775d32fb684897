/** The manual in the browser: search, links between pages and to sections, and links from outside. */
import { describe, expect } from "bun:test";
import { manualTexts } from "../../../src/console/ui/texts/manual.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { flow } from "./flow.ts";

describe("the manual", () => {
  flow("is searched, and its links lead to pages and sections", async (flow) => {
    const tab = await flow.logIn("read", "manual");
    const { page } = tab;
    await tab.heading("Getting started").waitFor();
    await page.locator("article p").first().waitFor();
    // A line break in a paragraph is a space, not an escape.
    expect(await page.locator("article").innerText()).not.toContain(String.raw`\u000a`);
    await tab.expectAccessible();
    await page.getByLabel(manualTexts.search).fill("promote without");
    const results = page.getByRole("list", { name: manualTexts.results });
    const first = results.getByRole("link").first();
    const heading = (await first.textContent())?.split(": ").at(-1) ?? "";
    // Hits are marked, and no word is cut.
    expect(await results.locator("mark").allTextContents()).toContain("promote");
    await tab.expectAccessible();
    await tab.screenshot("manual");
    await first.click();
    const section = page.getByRole("heading", { name: heading, exact: true }).last();
    await section.waitFor();
    // Screen readers say where a link leads.
    await tab.until(`document.activeElement?.textContent === ${JSON.stringify(heading)}`);
    await page.getByRole("navigation", { name: manualTexts.pages }).getByRole("link", { name: "API keys" }).click();
    await tab.heading("API keys").waitFor();
    await page.goBack();
    await section.waitFor();

    await tab.open("manual/settings");
    await tab.heading("Settings").waitFor();
    await tab.expectAccessible();
    await tab.open("manual/nothing");
    await tab.heading(manualTexts.unknown).waitFor();
    await tab.open("manual/language");
    await page.locator("article pre").first().waitFor();
    expect(await page.getByRole("navigation", { name: texts.navigation }).getByRole("link").count()).toBeGreaterThan(1);
  });
});
