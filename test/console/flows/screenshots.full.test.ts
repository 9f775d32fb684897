/**
 * A screenshot of every screen in both themes, 1440 and 390 pixels wide, in `dist/screenshots`. Nothing compares them: a
 * person looks at them before a change of the design is complete.
 */
import { expect } from "bun:test";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../../scripts/built-binary.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { flow } from "./flow.ts";
import { traced } from "./traced.ts";

traced();

const folder = join(projectRoot, "dist", "screenshots");
const themes = ["light", "dark"] as const;
const widths = [1440, 390];
const bob = { actor_type: "User", actor_id: "bob" };
const question = { ...bob, action: "write", resource_type: "Repository", resource_id: "compiler" };
const asked = "actor=User:bob&action=read&resource=Repository:compiler";

/** The address of each screen, by the name of its files. */
const screens = {
  overview: "overview",
  policy: "policy",
  "policy-history": "policy/history",
  model: "model",
  start: "start",
  facts: "facts",
  object: "object/Repository/compiler",
  "ask-empty": "ask",
  "ask-allowed": `ask/authorize?${asked}`,
  "ask-denied": `ask/authorize?${asked.replace("read", "delete").replace("bob", "mallory")}`,
  "ask-who": "ask/who?type=User&action=read&resource=Repository:compiler",
  "ask-missing": `ask/authorize?${asked.replace("read", "delete")}`,
  decisions: "decisions",
  changes: "changes",
  traces: "traces",
  keys: "administration/keys",
  environments: "administration/environments",
  audit: "administration/audit",
  backup: "administration/backup",
  promotion: "administration/promotion",
  manual: "manual",
  "manual-page": "manual/policies",
  "not-found": "nowhere",
} as const;

flow(
  "every screen has its screenshots",
  async (flow) => {
    await flow.edge();
    await flow.call("POST", "/api/environments", { id: "staging", name: "Staging" });
    for (let count = 0; count < 40; count++)
      await flow.call("POST", "/api/authorize", { ...question, resource_id: `r${count % 7}` });
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const tab = await flow.logIn("admin");
    const { page } = tab;
    await page.getByRole("heading", { level: 1 }).waitFor();
    for (const [name, route] of Object.entries(screens)) {
      await tab.open(route);
      await tab.until(`document.activeElement?.tagName === "H1"`);
      await tab.until(`!document.querySelector("main .loading")`);
      await tab.until(`!document.body.innerText.includes(${JSON.stringify(texts.loading)})`);
      // Nothing in the example is invisible, so nothing is an escape.
      expect([
        name,
        await page.evaluate(`/\\\\u[0-9a-f]{4}/.exec(document.querySelector("main").innerText)?.[0]`),
      ]).toEqual([...[name, undefined]]);
      for (const theme of themes) {
        await page.emulateMedia({ colorScheme: theme });
        for (const width of widths) {
          await page.setViewportSize({ width, height: 900 });
          await tab.until(`document.documentElement.scrollWidth <= ${width}`);
          const path = join(folder, `${name}-${width}-${theme}.png`);
          await page.screenshot({ path, animations: "disabled", caret: "hide" });
        }
      }
    }
    expect(readdirSync(folder)).toHaveLength(Object.keys(screens).length * themes.length * widths.length);
  },
  { flags: { "decisions.log": "all" } },
);
