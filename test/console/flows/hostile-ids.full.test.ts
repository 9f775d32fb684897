/** Ids that pretend to be others, and ids of 400 characters: they are seen as what they are, and move nothing away. */
import { expect } from "bun:test";
import { factsTexts } from "../../../src/console/ui/texts/facts.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { flow } from "./flow.ts";
import { traced } from "./traced.ts";

traced();

const value = (type: string, id: string) => ({ type, id });
const member = (user: string) => ({
  predicate: "has_role",
  args: [value("User", user), value("String", "member"), value("Organization", "acme")],
});
/** Each is shown by a browser like `ann`, or turns or breaks the line. */
const liars = [
  "ann\u200b",
  "\u202enna",
  "an\u00adn",
  "ann\u2066",
  "ann\nbob",
  "ann\u3164",
  "ann\u00a0",
  "a\u{e0041}nn",
];
const invisible = /[^\P{C}\n\t]|[\p{DI}\u2028\u2029\u00a0]/u;
const long = "x".repeat(400);

const screens = ["facts", "decisions", "changes", "traces", "administration/keys", "administration/audit"];

flow(
  "characters that nobody sees are escaped on every screen, and a pasted id is the same",
  async (flow) => {
    await flow.call("POST", "/api/batch", [{ inserts: liars.map(member) }]);
    for (const liar of liars) {
      const asked = { action: "read", resource_type: "Organization", resource_id: "acme" };
      await flow.call("POST", "/api/authorize", { actor_type: "User", actor_id: liar, ...asked });
    }
    await flow.key("read", { name: liars.join("") });
    const tab = await flow.logIn("admin", "facts?predicate=has_role&mentions=Organization:acme");
    const { page } = tab;
    const expectVisible = async (screen: string): Promise<void> => {
      await tab.until(`!document.body.innerText.includes(${JSON.stringify(texts.loading)})`);
      const shown = (await page.evaluate(`document.title + document.body.innerText`)) as string;
      expect([screen, invisible.exec(shown)?.[0]]).toEqual([screen, undefined]);
    };
    await page.getByRole("link", { name: String.raw`User:"ann\u200b"`, exact: true }).waitFor();
    for (const screen of screens) {
      await tab.open(screen);
      await tab.until(`document.activeElement?.tagName === "H1"`);
      await expectVisible(screen);
    }
    for (const liar of liars) {
      await tab.open(`object/User/${encodeURIComponent(liar)}`);
      await tab.until(`document.activeElement?.tagName === "H1"`);
      await expectVisible(liar);
      await page.getByText(factsTexts.list.foundOne, { exact: true }).waitFor();
      const shown = await page.getByRole("heading", { level: 1 }).innerText();
      await tab.open("ask/actions");
      await page.getByLabel("Actor", { exact: true }).fill(shown);
      const filled = `ask/authorize?actor=${encodeURIComponent(`User:${liar}`)}`;
      await page.getByLabel("Resource", { exact: true }).fill("Organization:acme");
      await page.getByRole("button", { name: "Ask", exact: true }).click();
      await page.getByRole("cell", { name: "read", exact: true }).waitFor();
      await tab.open(filled);
      await tab.until(`document.querySelector("form input:not([type=radio])")?.value === ${JSON.stringify(shown)}`);
      await expectVisible(`answer ${liar}`);
    }
  },
  { flags: { "decisions.log": "all" } },
);

flow("an id of 400 characters leaves the buttons in view", async (flow) => {
  await flow.call("POST", "/api/batch", [{ inserts: [member(long)] }]);
  await flow.key("read", { name: long.slice(0, 100) });
  const tab = await flow.logIn("admin", "facts");
  const { page } = tab;
  for (const [route, name] of [
    [`facts?mentions=User:${long}`, factsTexts.list.deleteFact(`has_role(User:${long}, "member", Organization:acme)`)],
    [`object/User/${long}`, undefined],
    [`ask/authorize?actor=User:${long}&action=read&resource=Organization:acme`, "Ask"],
    ["administration/keys", undefined],
  ] as const)
    for (const width of [1280, 390]) {
      await tab.open(route);
      await page.setViewportSize({ width, height: 800 });
      await tab.until(`document.activeElement?.tagName === "H1"`);
      await tab.until(`document.documentElement.scrollWidth <= ${width}`);
      if (name === undefined) continue;
      const box = await page.getByRole("button", { name, exact: true }).boundingBox();
      expect([route, (box?.x ?? width) + (box?.width ?? 0) <= width]).toEqual([route, true]);
    }
});
