/** What holds of the console while its node is away. */
import { expect } from "bun:test";
import type { Locator } from "playwright-core";
import type { Tab } from "./browser.ts";

/** Says since when the node is silent. */
export function banner({ page }: Tab): Locator {
  return page.getByText("This node has not answered");
}

/** No statement is shown as good, except dimmed ones, which have no colour. */
export async function expectNothingGood({ page }: Tab): Promise<void> {
  const good = page.locator(":is(.good, .is-allowed):not(.stale *)").filter({ visible: true });
  expect(await good.allTextContents()).toEqual([]);
}
