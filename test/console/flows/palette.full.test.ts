/** The command palette: with the keyboard to a screen, an object, the manual and other colours; nothing that a role may not do. */
import { expect } from "bun:test";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { paletteTexts } from "../../../src/console/ui/texts/palette.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { flow } from "./flow.ts";

const words = paletteTexts;

flow("the palette leads with the keyboard to screens, objects and sections of the manual", async (flow) => {
  const tab = await flow.logIn("read");
  const { page } = tab;
  await tab.heading(overviewTexts.title).waitFor();
  const dialog = page.getByRole("dialog", { name: words.title });
  const input = dialog.getByRole("combobox", { name: words.input });
  const option = (name: string) => dialog.getByRole("option", { name });
  await page.keyboard.press("Control+k");
  await input.waitFor();
  await option(words.actions.ask).waitFor();
  // A key that may only read creates no keys.
  expect(await option(words.actions.key).count()).toBe(0);
  await tab.expectAccessible();

  await input.fill("ask a");
  await page.keyboard.press("Enter");
  await tab.heading(askTexts.title).waitFor();
  await dialog.waitFor({ state: "detached" });

  await page.getByRole("button", { name: words.open }).click();
  await input.pressSequentially("Repository:comp");
  await option("Repository:compiler").waitFor();
  await page.keyboard.press("ArrowDown");
  await tab.until(`document.querySelector("[aria-selected='true']")?.textContent.includes("Repository:compiler")`);
  await page.keyboard.press("Enter");
  await tab.heading("Repository:compiler").waitFor();

  await tab.open("overview");
  await tab.heading(overviewTexts.title).waitFor();
  await page.keyboard.press("Control+k");
  await dialog.getByRole("option", { name: words.groups.recent }).getByText("Repository:compiler").waitFor();
  await input.fill("promote an edge");
  await option("Promote an edge").first().click();
  await page.getByRole("heading", { name: "Promote an edge" }).waitFor();

  await page.keyboard.press("Control+k");
  await input.fill(words.actions.dark);
  await page.keyboard.press("Enter");
  await page.locator('html[data-theme="dark"]').waitFor();
  await page.keyboard.press("Control+k");
  await input.fill("zzqx");
  await dialog.getByText(words.none, { exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
});

flow("the palette switches to another environment only if that is chosen", async (flow) => {
  const { token } = (await flow.call("POST", "/api/environments", { id: "e1" })) as { readonly token: string };
  const tab = await flow.logIn("admin");
  const { page } = tab;
  const environment = page.getByLabel(texts.account.environment, { exact: true });
  await environment.selectOption(texts.account.otherEnvironment);
  await page.locator("#token").fill(token);
  await page.keyboard.press("Enter");
  await tab.until(`document.querySelector("select.environment")?.value === "e1"`);
  await page.keyboard.press("Control+k");
  const input = page.getByRole("combobox", { name: words.input });
  await input.fill("test");
  await page.keyboard.press("Escape");
  expect(await environment.inputValue()).toBe("e1");
  await page.keyboard.press("Control+k");
  await input.fill(words.switchTo("test"));
  await page.keyboard.press("Enter");
  await tab.until(`document.querySelector("select.environment")?.value === "test"`);
});
