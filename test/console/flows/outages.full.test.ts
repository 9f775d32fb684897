/** Each kind of screen through an outage: it says what it does not know, and is loaded again without a click. */
import { expect } from "bun:test";
import { join } from "node:path";
import { projectRoot } from "../../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess } from "../../../scripts/node-process.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { administrationTexts } from "../../../src/console/ui/texts/administration.ts";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { factsTexts } from "../../../src/console/ui/texts/facts.ts";
import { objectTexts } from "../../../src/console/ui/texts/object.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
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
  changes: { route: "changes", isLoaded: ({ page }) => page.locator("tbody tr").first().waitFor() },
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

flow("a node that hangs is noticed soon, and all is fresh when it goes on", async (flow) => {
  const node = await hangingNode(flow);
  try {
    const tab = await flow.tab(node.url);
    const { page } = tab;
    await tab.logIn(node.key);
    await page.getByText(overviewTexts.noProblems).waitFor();
    await tab.until(`document.querySelectorAll(".good").length > 0`);
    node.freeze();
    const startMs = performance.now();
    await banner(tab).waitFor();
    // Five seconds, and the time that a busy machine takes.
    expect(performance.now() - startMs).toBeLessThan(8000);
    await page.getByText(overviewTexts.noFreshAnswer).waitFor();
    await expectNothingGood(tab);
    await page.locator(".stale").first().waitFor();
    await tab.expectAccessible();
    await tab.open("administration/keys");
    await page.getByText(texts.remote.noAnswer).first().waitFor();
    await page.getByText(/has not answered for (?:[1-9]\d) s/).waitFor();
    await expectNothingGood(tab);
    node.thaw();
    await banner(tab).waitFor({ state: "detached" });
    await page.getByRole("table").first().waitFor();
    await tab.open("overview");
    await page.getByText(overviewTexts.noProblems).waitFor();
    await page.locator(".stale").first().waitFor({ state: "detached" });
  } finally {
    await node.stop();
  }
});

/** A node in a process of its own, which can be frozen with all its connections open. */
async function hangingNode({ cluster: { directory } }: Flow) {
  const key = newAdminKey();
  const node = new NodeProcess({
    binary: join(projectRoot, "src", "main.ts"),
    name: "hanging",
    role: "primary",
    port: await freePort(),
    directory: join(directory, "hanging"),
    environment: { OSTIARY_ADMIN_KEY: key, OSTIARY_MQTT_PORT: "0", OSTIARY_LOG_LEVEL: "error" },
    place: { through: [process.execPath], listen: "127.0.0.1", address: "127.0.0.1" },
  });
  await node.start(undefined, 60_000);
  return {
    key,
    url: node.url,
    freeze: () => node.signal("SIGSTOP"),
    thaw: () => node.signal("SIGCONT"),
    stop: async () => {
      node.signal("SIGCONT");
      await node.stop();
    },
  };
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

flow("a screen whose code the node does not have any more offers to reload the page", async (flow) => {
  const tab = await flow.logIn("admin");
  const { page } = tab;
  await page.getByText(overviewTexts.noProblems).waitFor();
  // As after an upgrade: the name has a hash of the content.
  await page.route(/\/facts-[^/]+\.js$/, (route) => route.fulfill({ status: 404 }));
  await tab.open("facts");
  await page.getByText(texts.remote.codeFailed).waitFor();
  await tab.expectAccessible();
  await page.unrouteAll();
  await page.getByRole("button", { name: texts.remote.reload }).click();
  await rowWith(tab, "grants_role(").waitFor();
});
