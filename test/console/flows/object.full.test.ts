/** The page of an object: the facts that mention it, roles, and the graph of relations with the keyboard. */
import { expect } from "bun:test";
import { factsTexts } from "../../../src/console/ui/texts/facts.ts";
import { objectTexts } from "../../../src/console/ui/texts/object.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { flow } from "./flow.ts";

const words = objectTexts;

flow("an object has its facts, its roles, and a graph that the keyboard expands", async (flow) => {
  // The log of a browser on an edge shows the same.
  const tab = await flow.logIn("read", "facts", { url: await flow.edge() });
  const { page } = tab;
  await page.getByRole("link", { name: "Folder:acme", exact: true }).first().click();
  await tab.heading("Folder:acme").waitFor();
  await page.getByText(factsTexts.list.found("4"), { exact: true }).waitFor();
  const roles = page.getByRole("region", { name: words.roles.label });
  expect(await roles.getByRole("row").allTextContents()).toEqual([
    "ActorRoles",
    "User:aliceadmin, reader, writer",
    "User:bobreader",
    "User:erinreader",
    "User:malloryadmin, reader, writer",
  ]);
  const node = (name: string, state: string) =>
    page.getByRole("button", { name: words.graph.node(name, state), exact: true });
  await node("Folder:acme", words.graph.expanded).focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await node("Organization:acme", words.graph.expanded).waitFor();
  await node("User:bob", words.graph.collapsed).waitFor();
  await page.getByText(words.graph.text).click();
  await page.getByText(words.graph.connects("User:bob", "member", "Organization:acme"), { exact: true }).waitFor();
  await tab.expectAccessible();
  await tab.screenshot("object");
  await page.getByRole("status").getByRole("link", { name: "Organization:acme" }).click();
  await tab.heading("Organization:acme").waitFor();
  await page.getByRole("link", { name: words.askWho("Organization:acme") }).click();
  expect(await page.getByLabel("Resource", { exact: true }).inputValue()).toBe("Organization:acme");
});

flow("a stored script in an id is text, and an unknown object has no facts", async (flow) => {
  const id = `<script>document.title = "run"</script>/..`;
  const args = [
    { type: "Repository", id },
    { type: "String", id: "folder" },
    { type: "Folder", id },
  ];
  await flow.call("POST", "/api/batch", [{ inserts: [{ predicate: "has_relation", args }] }]);
  const name = `Folder:${JSON.stringify(id)}`;
  const tab = await flow.logIn("read", `object/Folder/${encodeURIComponent(id)}`);
  const { page } = tab;
  await tab.heading(name).waitFor();
  await page.getByText(factsTexts.list.foundOne, { exact: true }).waitFor();
  await page.getByRole("button", { name: words.graph.node(name, words.graph.expanded), exact: true }).waitFor();
  expect(await page.title()).toBe(texts.title(name));
  await tab.open("object/User/nobody");
  await tab.heading("User:nobody").waitFor();
  await page.getByText(factsTexts.list.none).waitFor();
  await page.getByText(words.graph.none).waitFor();
  await tab.open("object");
  await page.getByText(words.unknown).waitFor();
});

flow("a graph of 50 relations opens on its object, and groups them", async (flow) => {
  const fact = (id: string) => ({
    predicate: "has_role",
    args: [
      { type: "User", id },
      { type: "String", id: "member" },
      { type: "Organization", id: "large" },
    ],
  });
  const ids = Array.from({ length: 50 }, (_, index) => `user-${String(index).padStart(2, "0")}`);
  await flow.call("POST", "/api/batch", [{ inserts: ids.map(fact) }]);
  await flow.call("POST", "/api/batch", [
    {
      inserts: [
        {
          predicate: "has_relation",
          args: [
            { type: "Folder", id: "in-large" },
            { type: "String", id: "organization" },
            { type: "Organization", id: "large" },
          ],
        },
      ],
    },
  ]);
  const tab = await flow.logIn("read", "object/Organization/large");
  const { page } = tab;
  const node = (name: string, state: string) =>
    page.getByRole("button", { name: words.graph.node(name, state), exact: true });
  const all = page.getByRole("group", { name: words.graph.label(52, 51) });
  await all.waitFor();
  expect(await all.getByRole("button").count()).toBe(3);
  const name = words.graph.group("50 × member", "Organization:large");
  const status = page.getByRole("status").filter({ hasText: words.graph.selected });
  const isInside = (key: string) =>
    tab.until(`(() => {
      const box = document.querySelector(${JSON.stringify(`[data-key=${JSON.stringify(key)}]`)}).getBoundingClientRect();
      const view = document.querySelector(".graph").getBoundingClientRect();
      return box.left >= view.left && box.right <= view.right && box.top >= view.top && box.bottom <= view.bottom;
    })()`);
  await tab.expectAccessible();
  await page.setViewportSize({ width: 390, height: 800 });
  await tab.open("facts");
  await tab.open("object/Organization/large");
  await all.waitFor();
  await isInside("Organization:large");
  const group = node(name, words.graph.closed);
  await group.focus();
  await page.keyboard.press("Enter");
  await node(name, words.graph.open).waitFor();
  expect(await all.getByRole("button").count()).toBe(53);
  const focused = `document.activeElement?.getAttribute("aria-label")`;
  expect(await page.evaluate(focused)).toBe(words.graph.node(name, words.graph.open));
  expect(await status.innerText()).toContain("50 × member");
  await page.keyboard.press("ArrowLeft");
  const label = (await page.evaluate(focused)) as string;
  expect(label).toMatch(/^User:user-\d\d, /);
  const [key = ""] = label.split(",");
  await isInside(key);
  await page.keyboard.press("Enter");
  // It has one more fact than the group knows; the selection stays on it, in view.
  await node(key, words.graph.expanded).waitFor();
  expect(await page.evaluate(focused)).toBe(words.graph.node(key, words.graph.expanded));
  await isInside(key);
  expect(await status.innerText()).toContain(key);
  await page.setViewportSize({ width: 1280, height: 900 });
  await tab.expectAccessible();
});

flow(
  "among 100,000 facts the page of an object says what was searched, and offers to search on",
  async (flow) => {
    const user = (id: number) => ({ type: "User", id: `u${id}` });
    const member = (id: number, organization: string) => ({
      predicate: "has_role",
      args: [user(id), { type: "String", id: "member" }, { type: "Organization", id: organization }],
    });
    for (let start = 0; start < 100_000; start += 1000) {
      const inserts = Array.from({ length: 1000 }, (_, index) => member(start + index, "crowd"));
      await flow.call("POST", "/api/batch", [{ inserts }]);
    }
    await flow.call("POST", "/api/batch", [{ inserts: [member(7, "small")] }]);
    const tab = await flow.logIn("read", "object/Organization/small");
    const { page } = tab;
    const list = page.getByRole("region", { name: words.facts });
    await list.getByRole("button", { name: factsTexts.list.more }).waitFor();
    // One row cannot be scrolled, so nothing says that it can.
    await list.getByText(factsTexts.list.soFar(factsTexts.list.foundOne), { exact: true }).waitFor();
    expect(await list.innerText()).not.toContain("scroll for more");
    for (let count = 0; (await list.getByText(factsTexts.list.foundOne, { exact: true }).count()) === 0; count++) {
      expect(count).toBeLessThan(10);
      await list.getByRole("button", { name: factsTexts.list.more }).click();
      await list
        .getByRole("button", { name: factsTexts.list.more })
        .or(list.getByText(factsTexts.list.foundOne, { exact: true }))
        .first()
        .waitFor();
    }
    await tab.open("object/Organization/crowd");
    await list.getByText(factsTexts.list.scrollOn(factsTexts.list.found("500")), { exact: true }).waitFor();
  },
  { timeoutMs: 300_000 },
);
