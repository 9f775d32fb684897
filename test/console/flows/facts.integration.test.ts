/** The screen of facts: filters, a long list, insertion with completion, deletion and its undo, on each role of node. */
import { expect } from "bun:test";
import { texts } from "../../../src/console/ui/texts.ts";
import { reasonTexts } from "../../../src/console/ui/texts/reason.ts";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { factsTexts } from "../../../src/console/ui/texts/facts.ts";
import { objectTexts } from "../../../src/console/ui/texts/object.ts";
import { companyOf, factsOf } from "../../../scripts/benchmark/company.ts";
import type { Fact } from "../../../src/store/facts/fact.ts";
import { adminKey } from "../../replication/cluster.ts";
import type { Tab } from "./browser.ts";
import { flow, type Flow } from "./flow.ts";

const words = factsTexts;

flow("facts are filtered, inserted with completion, deleted, and restored", async (flow) => {
  const tab = await flow.logIn("write", "facts");
  const { page } = tab;
  await tab.heading(words.title).waitFor();
  await row(tab, "grants_role(Team:compilers").waitFor();
  await tab.expectAccessible();
  await tab.screenshot("facts");

  await page.getByLabel(words.filter.predicate, { exact: true }).selectOption("has_role");
  await page.getByLabel(words.filter.arguments, { exact: true }).fill("User:bob");
  await page.getByRole("button", { name: words.filter.apply, exact: true }).click();
  await page.getByText(words.list.found("2"), { exact: true }).waitFor();
  expect(page.url()).toEndWith("#/facts?predicate=has_role&args=User%3Abob");
  await page.getByLabel(words.filter.arguments, { exact: true }).fill("bob");
  await page.getByText(words.filter.invalidArguments("bob")).waitFor();

  const fact = 'has_role(User:zoe, "reader", Repository:website)';
  const input = page.getByLabel(words.insert.fact, { exact: true });
  await input.fill("has_role(");
  // Ids come from the node; no row of the list has this one.
  await input.pressSequentially("User:bo");
  const options = page.getByRole("listbox", { name: texts.suggestions(words.insert.fact) });
  await options.getByRole("option", { name: "has_role(User:bob,", exact: true }).waitFor();
  await input.press("ArrowDown");
  await tab.expectAccessible();
  await input.press("Enter");
  expect(await input.inputValue()).toBe("has_role(User:bob, ");
  await input.fill("has_role(User:zoe, ");
  await options.getByRole("option", { name: 'has_role(User:zoe, "reader",', exact: true }).waitFor();
  await input.fill("has_role(User:zoe");
  await page.getByRole("button", { name: words.insert.submit("test"), exact: true }).click();
  await page.getByText(words.insert.invalid("has_role(User:zoe")).waitFor();
  await input.fill(fact);
  await input.press("Enter");
  await page.getByText(words.changes.inserted, { exact: true }).waitFor();
  expect(await stored(flow, "User", "zoe")).toBe(1);

  await input.fill('is_admin(User:zoe, "x")');
  await input.press("Enter");
  await page.getByText("is not used in policy").waitFor();

  // A role that no rule means is said before it is stored, and stored all the same.
  await input.fill('has_role(User:zed, "raeder", Repository:website)');
  await page.getByRole("status").filter({ hasText: 'No rule of the policy means "raeder" here' }).waitFor();
  await input.press("Enter");
  await page.getByText("the policy has no role `raeder` of `Repository`: did you mean `reader`?").waitFor();
  expect(await stored(flow, "User", "zed")).toBe(1);

  await tab.open("facts?predicate=has_role&args=User%3Azoe");
  await page.getByRole("button", { name: words.list.deleteFact(fact) }).click();
  const undo = page.getByRole("button", { name: words.list.undoDeletion(fact) });
  await undo.waitFor();
  expect(await stored(flow, "User", "zoe")).toBe(0);
  await page.locator("del").waitFor();
  await tab.expectAccessible();
  await undo.focus();
  await undo.press("Enter");
  await page.getByRole("button", { name: words.list.deleteFact(fact) }).waitFor();
  await page.getByText(words.changes.undone, { exact: true }).waitFor();
  expect(await stored(flow, "User", "zoe")).toBe(1);
});

flow("a stored script is text, and a read key sees no control that it cannot use", async (flow) => {
  const script = `<script>document.title = "run"</script><img src=x onerror="document.title = 'run'">`;
  const args = [
    { type: "User", id: script },
    { type: "String", id: "reader" },
    { type: "Repository", id: script },
  ];
  await flow.call("POST", "/api/batch", [{ inserts: [{ predicate: "has_role", args }] }]);
  const tab = await flow.logIn("read", "facts?predicate=has_role");
  const { page } = tab;
  await row(tab, script.slice(0, 20)).waitFor();
  expect(await page.title()).toBe(texts.title(words.title));
  await page.getByRole("link", { name: "User:alice" }).first().waitFor();
  expect(await page.getByRole("button", { name: /^(?:Delete|Insert|Undo)/ }).count()).toBe(0);
  expect(await page.getByLabel(words.insert.fact, { exact: true }).count()).toBe(0);
  await tab.expectAccessible();
});

flow("facts are changed through an edge, and a fallback has no controls for it", async (flow) => {
  const fact = 'is_public(Repository:"a b")';
  const edge = await flow.logIn("write", "facts?mentions=Repository%3Aa+b", { url: await flow.edge() });
  await edge.page.getByText(words.list.none).waitFor();
  await edge.page.getByLabel(words.insert.fact, { exact: true }).fill(fact);
  await edge.page.getByRole("button", { name: words.insert.submit("test"), exact: true }).click();
  await edge.page.getByRole("button", { name: words.list.deleteFact(fact) }).waitFor();
  const { url } = await flow.cluster.host("fallback", "fallback", { primary: flow.url, refresh: "1h" });
  const fallback = await flow.tab(url);
  // Its snapshot may be older than a new key.
  await fallback.logIn(adminKey);
  await fallback.page.getByRole("navigation").waitFor();
  await fallback.open("facts");
  await row(fallback, "grants_role(").waitFor();
  expect(await fallback.page.getByRole("button", { name: /^(?:Delete|Insert)/ }).count()).toBe(0);
  await fallback.page.getByRole("link", { name: "Folder:acme/src", exact: true }).first().click();
  await fallback.heading("Folder:acme/src").waitFor();
  await fallback.page.getByRole("region", { name: objectTexts.roles.label }).waitFor();
  await fallback.open("ask/authorize?actor=User%3Abob&action=delete&resource=Repository%3Acompiler");
  await fallback.page.getByText(reasonTexts.denied, { exact: true }).waitFor();
  const missing = 'has_role(User:bob, "admin", Repository:compiler)';
  await fallback.page.getByRole("button", { name: askTexts.tree.assumeFact(missing) }).waitFor();
  expect(await fallback.page.getByRole("button", { name: askTexts.tree.addFact(missing) }).count()).toBe(0);
});

/** With `scripts/test --full` a million: it takes minutes to store them. */
const manyFacts = Number(process.env["CONSOLE_FACTS"] ?? 20_000);

flow("a long list is scrolled without stalls, with few rows in the page", scrollLongList, {
  timeoutMs: 90_000 + 2 * manyFacts,
});

async function scrollLongList(flow: Flow): Promise<void> {
  let batch: Fact[] = [];
  for (const fact of factsOf(companyOf(manyFacts, 1))) {
    batch.push(fact);
    if (batch.length < 1000) continue;
    await flow.call("POST", "/api/batch", [{ inserts: batch }]);
    batch = [];
  }
  await flow.call("POST", "/api/batch", [{ inserts: batch }]);
  const { facts } = (await flow.call("GET", "/api/stats")) as { readonly facts: { readonly total: number } };
  const tab = await flow.logIn("read", "facts");
  const { page } = tab;
  const list = page.getByRole("region", { name: words.list.label });
  await list.waitFor();
  await page.getByText(words.list.found(facts.total.toLocaleString("en")), { exact: true }).waitFor();
  // Each step jumps to the end of what is loaded, and waits for the rows there; tasks of the page are measured.
  const { loaded, longest, most } = (await page.evaluate(scrollToTheEnd)) as Record<string, number>;
  expect(loaded).toBe(facts.total);
  expect(most).toBeLessThan(100);
  // A page of 500 rows takes some milliseconds. A stall would be a multiple of this on the slowest machine.
  expect(longest).toBeLessThan(2000);
  await page.evaluate(`document.querySelector(".rows").scrollTo(0, 0)`);
  await row(tab, "grants_role(").waitFor();
  await tab.open("facts?mentions=Organization%3Aorganization-1");
  await row(tab, "Organization:organization-1").waitFor();
}

/** Runs in the page. Returns the number of rows, the longest time without a frame, and the most rendered rows. */
const scrollToTheEnd = `(async () => {
  const list = document.querySelector(".rows");
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  let [loaded, longest, most, last] = [0, 0, 0, performance.now()];
  for (;;) {
    const rows = [...list.querySelectorAll("tr[aria-rowindex]")];
    most = Math.max(most, rows.length);
    const shown = Number(rows.at(-1)?.getAttribute("aria-rowindex") ?? 0);
    const total = Number(list.querySelector("table").getAttribute("aria-rowcount"));
    loaded = Math.max(loaded, shown);
    if (total > 0 && shown === total && rows.at(-1).textContent !== "") return { loaded, longest, most };
    list.scrollTop = list.scrollHeight;
    await frame();
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
})()`;

function row(tab: Tab, text: string) {
  return tab.page.getByRole("row").filter({ hasText: text }).first();
}

async function stored(flow: Flow, type: string, id: string): Promise<number> {
  const { results } = (await flow.call("GET", `/api/objects/${type}/${id}/facts`)) as { readonly results: object[] };
  return results.length;
}
