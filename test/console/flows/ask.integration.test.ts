/** Questions: each kind, with context facts, reasons, a fact that is added for a denial, and the question as a link. */
import { expect } from "bun:test";
import { texts } from "../../../src/console/ui/texts.ts";
import { reasonTexts } from "../../../src/console/ui/texts/reason.ts";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { decisionsTexts } from "../../../src/console/ui/texts/decisions.ts";
import { loginTexts } from "../../../src/console/ui/texts/login.ts";
import { adminKey } from "../../replication/cluster.ts";
import type { Tab } from "./browser.ts";
import { flow } from "./flow.ts";

const words = askTexts;
const missing = 'has_role(User:bob, "admin", Repository:compiler)';

flow("a denial shows what is missing, and a key that may write adds it", async (flow) => {
  const tab = await flow.logIn("write", "ask");
  const { page } = tab;
  await tab.heading(words.title).waitFor();
  // Actions come from the policy, ids from the node.
  const actor = page.getByLabel(words.fields.actor, { exact: true });
  await actor.pressSequentially("User:al");
  await page.getByRole("option", { name: "User:alice", exact: true }).click();
  expect(await actor.inputValue()).toBe("User:alice");
  await page.getByLabel(words.fields.action, { exact: true }).pressSequentially("del");
  await page.getByRole("option", { name: "delete", exact: true }).waitFor();
  await fill(tab, { actor: "bob", action: "delete", resource: "Repository:compiler" });
  await page.getByRole("button", { name: words.submit, exact: true }).click();
  await page.getByText(words.problems.actor("bob")).waitFor();
  await fill(tab, { actor: "User:bob" });
  await page.getByRole("button", { name: words.submit, exact: true }).click();
  await page.getByText(reasonTexts.denied, { exact: true }).waitFor();
  expect(page.url()).toEndWith("#/ask/authorize?actor=User%3Abob&action=delete&resource=Repository%3Acompiler");
  await page.getByRole("heading", { name: words.attempts }).waitFor();
  const assume = page.getByRole("button", { name: words.tree.assumeFact(missing) });
  await assume.waitFor();
  await tab.expectAccessible();

  await assume.click();
  await page.getByText(reasonTexts.allowed, { exact: true }).waitFor();
  await page.getByText(words.tree.origins.context, { exact: true }).waitFor();
  const link = page.url();
  expect(link).toContain("context=");
  await page.getByRole("button", { name: words.context.removeFact(missing) }).click();
  await page.getByRole("button", { name: words.submit, exact: true }).click();
  await page.getByText(reasonTexts.denied, { exact: true }).waitFor();

  // One click does not give a role to anybody.
  await page.getByRole("button", { name: words.tree.addFact(missing) }).click();
  await page.getByText(words.adding.role("User:bob", "admin", "Repository:compiler")).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: words.tree.addFact(missing) }).click();
  await page.getByText(reasonTexts.denied, { exact: true }).waitFor();
  await page.getByRole("button", { name: words.adding.confirm("test") }).click();
  await page.getByText(words.added(missing)).waitFor();
  await page.getByText(reasonTexts.allowed, { exact: true }).waitFor();
  await page.getByText(words.tree.origins.stored, { exact: true }).first().waitFor();
  await page.getByRole("button", { name: words.undo, exact: true }).click();
  await page.getByText(reasonTexts.denied, { exact: true }).waitFor();
  const question = { actor_type: "User", actor_id: "bob", resource_type: "Repository", resource_id: "compiler" };
  expect(await flow.call("POST", "/api/authorize", { ...question, action: "delete" })).toEqual({ allowed: false });

  const reader = await flow.logIn("read", link.slice(link.indexOf("#/") + 2));
  await reader.page.getByText(reasonTexts.allowed, { exact: true }).waitFor();
  await reader.open("ask/authorize?actor=User%3Abob&action=delete&resource=Repository%3Acompiler");
  await reader.page.getByRole("button", { name: words.tree.assumeFact(missing) }).waitFor();
  expect(await reader.page.getByRole("button", { name: words.tree.addFact(missing) }).count()).toBe(0);
});

flow(
  "anyone can read a public repository, and a link to a screen of administrators says what it needs",
  async (flow) => {
    const tab = await flow.logIn("read", "ask/who?type=User&action=read&resource=Repository%3Awebsite");
    const { page } = tab;
    await page.getByText(words.results.anyone, { exact: true }).waitFor();
    await page.getByText(words.results.anyoneHelp("User")).waitFor();
    await tab.open("ask/who?type=User&action=delete&resource=Repository%3Awebsite");
    await page.getByRole("link", { name: "alice", exact: true }).waitFor();
    await tab.open("decisions");
    await page.getByText(texts.screens.forbidden(texts.screens.decisions, "admin", "read")).waitFor();
    await page.getByRole("button", { name: texts.screens.otherKey }).click();
    await page.getByLabel(loginTexts.credential).fill(adminKey);
    await page.getByRole("button", { name: loginTexts.submit }).click();
    await tab.heading(decisionsTexts.title).waitFor();
  },
);

flow("a permission has rules with lines and a path, and lists lead to the reasons of each result", async (flow) => {
  const tab = await flow.logIn("read", "ask/authorize?actor=User%3Aalice&action=read&resource=Repository%3Acompiler");
  const { page } = tab;
  await page.getByText(reasonTexts.allowed, { exact: true }).waitFor();
  const path = page.locator(".path");
  await path.waitFor();
  expect(await path.innerText()).toContain("Folder:acme/src/tools → Folder:acme/src → Folder:acme");
  const rule = page.getByRole("link", { name: /^line \d+$/ }).last();
  const line = (await rule.innerText()).replace("line ", "");
  await tab.expectAccessible();
  await tab.screenshot("ask");
  await rule.click();
  await page.locator(".cm-activeLineGutter").getByText(line, { exact: true }).waitFor();
  await page.goBack();
  await page.getByText(reasonTexts.allowed, { exact: true }).waitFor();
  for (const name of [words.share.link, words.share.curl, words.share.typeScript, words.share.test])
    await page.getByText(name, { exact: true }).click();
  const test = await page.getByLabel(words.share.test, { exact: true }).innerText();
  expect(test).toContain('assert allow(User{"alice"}, "read", Repository{"compiler"});');
  expect(await page.getByLabel(words.share.curl, { exact: true }).innerText()).toContain(`'${flow.url}/api/authorize'`);

  await page.getByLabel(words.kinds.list).check();
  await fill(tab, { resourceType: "Repository" });
  await page.getByRole("button", { name: words.submit, exact: true }).click();
  await page.getByText(words.results.count("4", false), { exact: true }).waitFor();
  await page.getByRole("button", { name: words.share.makeTest }).click();
  await page.getByText(words.share.test, { exact: true }).click();
  expect(await page.getByLabel(words.share.test, { exact: true }).innerText()).toContain("resource in [");
  await page.getByRole("link", { name: words.results.why("kernel") }).click();
  await page.getByText(reasonTexts.allowed, { exact: true }).waitFor();

  await tab.open("ask/who?type=User&action=delete&resource=Repository%3Akernel");
  await page.getByText(words.results.one, { exact: true }).waitFor();
  await page.getByRole("link", { name: "alice", exact: true }).waitFor();
  await tab.open("ask/actions?actor=User%3Acarol&resource=Issue%3Atypo");
  await page.getByText(words.results.count("3", false), { exact: true }).waitFor();
  const unknown = "the policy has no type `Repositry`: did you mean `Repository`?";
  await tab.open("ask/list?actor=User%3Aalice&action=read&type=Repositry");
  await page.getByText(words.results.none, { exact: true }).waitFor();
  await page.getByText(unknown, { exact: true }).waitFor();
  await tab.open("ask/query");
  const calls = 'allow(User:bob, "read", repository: Repository)\nhas_relation(repository, "folder", folder: Folder)';
  await page.getByLabel(words.fields.calls, { exact: true }).fill(calls);
  await page.getByRole("button", { name: words.submit, exact: true }).click();
  await page.getByText(words.results.count("4", false), { exact: true }).waitFor();
  expect(await page.getByRole("row").first().innerText()).toMatch(/repository\s+folder/);
  await tab.expectAccessible();
});

async function fill(tab: Tab, fields: Readonly<Partial<Record<keyof typeof words.fields, string>>>): Promise<void> {
  for (const [name, value] of Object.entries(fields))
    await tab.page.getByLabel(words.fields[name as keyof typeof words.fields], { exact: true }).fill(value);
}
