/** Each kind of screen through an outage: it says what it does not know, and is loaded again without a click. */
import { expect } from "bun:test";
import { texts } from "../../../src/console/ui/texts.ts";
import { administrationTexts } from "../../../src/console/ui/texts/administration.ts";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { factsTexts } from "../../../src/console/ui/texts/facts.ts";
import { objectTexts } from "../../../src/console/ui/texts/object.ts";
import { policyTexts } from "../../../src/console/ui/texts/policy.ts";
import type { Tab } from "./browser.ts";
import { flow, type Flow } from "./flow.ts";
import { banner, expectNothingGood } from "./outages.ts";

interface Case {
  readonly route: string;
  /** Waits for what only an answer of the node can show. */
  readonly isLoaded: (tab: Tab) => Promise<unknown>;
}

const rowWith = ({ page }: Tab, text: string) => page.getByRole("row").filter({ hasText: text }).first();

const cases: Readonly<Record<string, Case>> = {
  facts: { route: "facts", isLoaded: (tab) => rowWith(tab, "grants_role(").waitFor() },
  object: {
    route: "object/Repository/compiler",
    isLoaded: async (tab) => {
      await rowWith(tab, "has_relation(").waitFor();
      await tab.page.getByRole("region", { name: objectTexts.roles.label }).waitFor();
      await tab.page.locator(".graph svg").waitFor();
    },
  },
  answer: {
    route: "ask/authorize?actor=User%3Aalice&action=read&resource=Repository%3Acompiler",
    isLoaded: async ({ page }) => {
      await page.locator(".is-allowed").waitFor();
      await page.getByText(askTexts.derivation, { exact: true }).waitFor();
    },
  },
  keys: { route: "administration/keys", isLoaded: (tab) => rowWith(tab, "admin key").waitFor() },
  audit: { route: "administration/audit", isLoaded: (tab) => rowWith(tab, "key.").waitFor() },
  environments: { route: "administration/environments", isLoaded: (tab) => rowWith(tab, "test").waitFor() },
  promotion: {
    route: "administration/promotion",
    isLoaded: ({ page }) => page.getByText(administrationTexts.promotion.facts.node, { exact: true }).waitFor(),
  },
  history: {
    route: "policy/history",
    isLoaded: ({ page }) => page.getByRole("link", { name: policyTexts.versions.showVersion(1) }).waitFor(),
  },
};

/** A tab that opens the screen while the node is away. The code of the screen is there, its data is not. */
async function openWhileAway(flow: Flow, { route, isLoaded }: Case): Promise<Tab> {
  const tab = await flow.logIn("admin", route);
  await isLoaded(tab);
  await tab.open("manual");
  await tab.page.getByRole("article").waitFor();
  await flow.stopPrimary();
  await tab.open(route);
  await tab.page.getByText(texts.remote.noAnswer).first().waitFor();
  return tab;
}

for (const [name, each] of Object.entries(cases)) {
  flow(`${name}: opened while the node is away, and loaded when it is back`, async (flow) => {
    const tab = await openWhileAway(flow, each);
    await banner(tab).waitFor();
    await tab.page.getByRole("button", { name: texts.remote.retry }).first().waitFor();
    await expectNothingGood(tab);
    // Requests give up meanwhile.
    await tab.page.getByText(/has not answered for (?:[6-9]|\d\d) s/).waitFor();
    await flow.startPrimary();
    await each.isLoaded(tab);
    await banner(tab).waitFor({ state: "detached" });
    await tab.page.locator(".stale, .trouble").first().waitFor({ state: "detached" });
  });

  flow(`${name}: shown while the node goes away, dimmed with its age, and fresh again`, async (flow) => {
    const tab = await flow.logIn("admin", each.route);
    await each.isLoaded(tab);
    await flow.stopPrimary();
    await banner(tab).waitFor();
    await tab.page.locator(".age").first().waitFor();
    await tab.page.locator(".stale").first().waitFor();
    await expectNothingGood(tab);
    await tab.expectAccessible();
    await flow.startPrimary();
    await banner(tab).waitFor({ state: "detached" });
    await each.isLoaded(tab);
    expect(await tab.page.locator(".stale").count()).toBe(0);
  });
}

flow("Administration keeps its parts while the node is away", async (flow) => {
  const tab = await openWhileAway(flow, cases["environments"]!);
  const parts = tab.page.getByRole("navigation", { name: administrationTexts.parts }).getByRole("link");
  expect(await parts.allTextContents()).toEqual(Object.values(administrationTexts.partTitles));
});

flow("what somebody types stays through an outage", async (flow) => {
  const tab = await flow.logIn("admin", "facts");
  const { page } = tab;
  const input = page.getByLabel(factsTexts.insert.fact, { exact: true });
  await input.fill("has_role(User:zoe, ");
  await tab.page.evaluate("document.activeElement.dataset.same = '1'");
  await flow.stopPrimary();
  await banner(tab).waitFor();
  await input.press("x");
  await flow.startPrimary();
  await banner(tab).waitFor({ state: "detached" });
  await rowWith(tab, "grants_role(").waitFor();
  expect(await input.inputValue()).toBe("has_role(User:zoe, x");
  expect(await tab.page.evaluate("document.activeElement.dataset.same")).toBe("1");
});
