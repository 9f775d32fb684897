/** The workbench of the policy in a real browser: what needs several people, or takes longer than the other flows may. */
import { describe, expect } from "bun:test";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { policyTexts as words } from "../../../src/console/ui/texts/policy.ts";
import { reasonTexts } from "../../../src/console/ui/texts/reason.ts";
import { flow } from "./flow.ts";
import { button, editor, policyFile as name, showTab, write } from "./policy-page.ts";

const policy = `actor User {}
resource Doc {
  roles = ["reader", "guest"];
  permissions = ["read"];
  "read" if "reader";
  "read" if "guest";
}
`;

describe("the workbench", () => {
  flow("never overwrites what somebody else has saved unseen", async (flow) => {
    await flow.call("POST", "/api/policy", { src: policy, filename: name });
    const other = (remark: string) =>
      flow.call("POST", "/api/policy", { src: `${policy}# ${remark}\n`, filename: name, message: remark });
    const source = async (): Promise<string> =>
      ((await flow.call("GET", "/api/policy")) as { policy: { src: string } }).policy.src;
    const tab = await flow.logIn("write", "policy");
    const { page } = tab;
    await editor(page).waitFor();
    const mine = policy.replace('  "read" if "guest";\n', "");
    await write(page, mine);
    await editor(page).press("ControlOrMeta+s");
    const dialog = page.getByRole("dialog", { name: words.save.title });
    const confirm = dialog.getByRole("button", { name: words.save.confirm("test"), exact: true });
    await dialog.getByText(words.save.verdicts.harmless).waitFor();

    // Even if the other version came after the dialog was opened: the node refuses to replace it.
    await other("second");
    await confirm.click();
    await dialog.getByText(words.conflict.saved("admin", 3)).waitFor();
    expect(await source()).toContain("# second");
    expect(await confirm.count()).toBe(0);
    await dialog.getByRole("button", { name: words.conflict.saveAnyway }).click();
    await dialog.getByText(words.conflict.replaces(3)).waitFor();

    // That holds for that version only.
    await other("third");
    await confirm.click();
    await dialog.getByText(words.conflict.saved("admin", 4)).waitFor();
    await dialog.getByRole("button", { name: words.conflict.saveAnyway }).click();
    await dialog.getByText(words.conflict.replaces(4)).waitFor();
    await confirm.click();
    await dialog.waitFor({ state: "detached" });
    expect(await source()).toBe(mine);
    await page.getByRole("link", { name: words.versions.version(5) }).waitFor();

    // The changes of the other one instead of the own ones.
    await write(page, `${mine}# mine\n`);
    await other("fourth");
    await editor(page).press("ControlOrMeta+s");
    await dialog.getByRole("button", { name: words.conflict.takeTheirs }).click();
    await editor(page).getByText("# fourth").waitFor();
    await page.getByText(words.unsaved, { exact: true }).waitFor({ state: "detached" });
    await page.getByRole("link", { name: words.versions.version(6) }).waitFor();
    await editor(page).press("ControlOrMeta+s");
    await page.getByText(words.nothingToSave).waitFor();

    // The way back to an older version.
    await tab.open("policy/version/2");
    await button(page, words.versions.back).click();
    const back = page.getByRole("dialog", { name: words.rollback.title(2) });
    await back.getByText(words.save.verdicts.harmless).waitFor();
    await other("fifth");
    await back.getByRole("button", { name: words.save.confirm("test"), exact: true }).click();
    await back.getByText(words.conflict.saved("admin", 7)).waitFor();
    await back.getByRole("button", { name: words.conflict.saveAnyway }).click();
    await back.getByRole("button", { name: words.save.confirm("test"), exact: true }).click();
    await back.waitFor({ state: "detached" });
    expect(await source()).toBe(policy);
  });

  flow("answers questions of the draft before it is saved, and makes tests of the answers", async (flow) => {
    await flow.call("POST", "/api/policy", { src: policy, filename: name });
    const fact = (user: string, role: string) => ({
      predicate: "has_role",
      args: [
        { type: "User", id: user },
        { type: "String", id: role },
        { type: "Doc", id: "plan" },
      ],
    });
    await flow.call("POST", "/api/batch", [{ inserts: [fact("gil", "guest")] }]);
    const tab = await flow.logIn("write", "policy");
    const { page } = tab;
    await editor(page).waitFor();
    await write(page, policy.replace('  "read" if "guest";\n', ""));
    await showTab(page, words.ask.title);
    const panel = page.getByRole("tabpanel", { name: words.ask.title });
    const field = (label: string) => panel.getByLabel(label, { exact: true });
    await field(askTexts.fields.actor).fill("User:gil");
    await field(askTexts.fields.action).fill("read");
    await field(askTexts.fields.resource).fill("Doc:plan");
    await panel.getByRole("button", { name: askTexts.submit, exact: true }).click();
    const answer = panel.getByRole("region", { name: askTexts.answer, exact: true });
    // The active policy still allows it.
    await answer.getByText(reasonTexts.denied, { exact: true }).waitFor();
    await tab.expectAccessible();
    await tab.screenshot("policy-ask");

    // With one click it is a test, which passes; another one has another name.
    for (const [count, title] of [
      [1, "User gil, read, Doc plan"],
      [2, "User gil, read, Doc plan (2)"],
    ] as const) {
      await showTab(page, words.ask.title);
      await panel.getByRole("button", { name: words.ask.makeTest }).click();
      await page
        .getByRole("tabpanel", { name: words.tests.title })
        .getByText(words.tests.summary(count, count))
        .waitFor();
      await editor(page).getByText(`test "${title}"`).waitFor();
    }
    await editor(page).getByText('assert_not allow(User{"gil"}, "read", Doc{"plan"});').first().waitFor();

    // With a context fact, whose rule leads to its line.
    await showTab(page, words.ask.title);
    await answer.getByText(words.tests.old).waitFor();
    await answer
      .getByRole("button", { name: askTexts.tree.assumeFact('has_role(User:gil, "reader", Doc:plan)') })
      .first()
      .click();
    await answer.getByText(reasonTexts.allowed, { exact: true }).waitFor();
    await answer.getByRole("link", { name: askTexts.tree.ruleAt(name, 5) }).click();

    // A draft with errors answers nothing.
    await write(page, "actor User {");
    await showTab(page, words.ask.title);
    await panel.getByRole("button", { name: askTexts.submit, exact: true }).click();
    await panel.getByText(words.ask.broken).waitFor();
  });

  flow("fixes problems from their list, and by keys in the editor", async (flow) => {
    await flow.call("POST", "/api/policy", { src: policy, filename: name });
    const tab = await flow.logIn("write", "policy");
    const { page } = tab;
    await editor(page).waitFor();
    await write(page, policy.replace('if "guest"', 'if "gest"').replace('["read"];', '["read"]'));
    const fix = (title: string) => page.getByRole("button", { name: words.problems.fix(title), exact: true });
    await fix("insert the `;`").waitFor();
    await tab.expectAccessible();
    await fix("insert the `;`").click();
    await editor(page).getByText('permissions = ["read"];').waitFor();
    await fix('replace it by `"guest"`').click();
    await editor(page).getByText('"read" if "guest";').waitFor();
    await page.getByText(words.problems.none).waitFor();
    await page.getByText(words.unsaved, { exact: true }).waitFor({ state: "detached" });

    // One step of undoing takes one fix back.
    await editor(page).press("ControlOrMeta+z");
    await editor(page).getByText('"read" if "gest";').waitFor();
    await fix("declare `gest` as a role of `Doc`").waitFor();
    await editor(page).press("ControlOrMeta+Home");
    await page.keyboard.press("F8");
    await page.keyboard.press("ControlOrMeta+.");
    await editor(page).getByText('"read" if "guest";').waitFor();
    await page.getByText(words.problems.none).waitFor();

    // At the mark of the problem, and in a file that is not shown.
    await editor(page).press("ControlOrMeta+z");
    await page.locator(".cm-lintRange-error").hover();
    await page.locator(".cm-diagnosticAction").first().click();
    await editor(page).getByText('"read" if "guest";').waitFor();
    await button(page, words.files.add).click();
    const other = page.getByRole("textbox", { name: words.code(words.files.newName) });
    await other.click();
    await page.keyboard.insertText("actor Robot {}\ndeclare is_new(Robot)\n");
    await button(page, name).click();
    await fix("insert the `;`").click();
    await other.getByText("declare is_new(Robot);").waitFor();

    // A key that cannot save gets no fixes.
    await flow.call("POST", "/api/policy", { src: policy.replace('["read"];', '["read"]'), filename: name });
    const reader = await flow.logIn("read", "policy");
    await reader.page.getByText(words.problems.count(0, 1)).waitFor();
    expect(await reader.page.getByRole("button", { name: /^Fix:/ }).count()).toBe(0);
  });
});
