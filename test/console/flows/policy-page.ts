/** What flows of the policy screen do with it. */
import type { Locator, Page } from "playwright-core";
import { policyTexts } from "../../../src/console/ui/texts/policy.ts";

/** The file that the flows edit. */
export const policyFile = "company.polar";

export const editor = (page: Page, file = policyFile): Locator =>
  page.getByRole("textbox", { name: policyTexts.code(file) });
export const button = (page: Page, label: string): Locator => page.getByRole("button", { name: label, exact: true });
export const showTab = (page: Page, label: string): Promise<void> =>
  page.getByRole("tab", { name: new RegExp(`^${label}`) }).click();

/** Replaces the text of the editor. */
export async function write(page: Page, text: string, file = policyFile): Promise<void> {
  await editor(page, file).click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText(text);
}
