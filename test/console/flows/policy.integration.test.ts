/** The policy screen in a real browser: editing, checking, saving with its effect, the history, and the way back. */
import { describe, expect } from "bun:test";
import type { Page } from "playwright-core";
import { texts } from "../../../src/console/ui/texts.ts";
import { policyTexts as words } from "../../../src/console/ui/texts/policy.ts";
import { flow } from "./flow.ts";
import { button, editor, policyFile as name, showTab, write } from "./policy-page.ts";

const policy = `actor User {}
resource Doc {
  roles = ["reader", "guest"];
  permissions = ["read"];
  "read" if "reader";
  "read" if "guest";
}
test "readers read" {
  setup { has_role(User{"ann"}, "reader", Doc{"plan"}); }
  assert allow(User{"ann"}, "read", Doc{"plan"});
}
`;
/** Guests cannot read any more, and the text is not in canonical form. */
const next = policy
  .replace('  "read" if "guest";\n', "")
  .replace(', "guest"', "")
  .replace("actor User", "actor   User");
const region = (page: Page, label: string) => page.getByRole("region", { name: label, exact: true });

const panel = (page: Page, label: string) => page.getByRole("tabpanel", { name: label, exact: true });

describe("the policy", () => {
  flow("is edited with problems, completion, tests, longhand and formatting", async (flow) => {
    await flow.call("POST", "/api/policy", { src: policy, filename: name });
    const tab = await flow.logIn("write", "policy");
    const { page } = tab;
    await tab.heading(words.title).waitFor();
    await editor(page).waitFor();
    await panel(page, words.problems.title).getByText(words.problems.none).waitFor();
    // A text that scrolls, in a page that does not.
    await write(page, policy + "# comment\n".repeat(100));
    await tab.expectAccessible();
    await tab.until("document.documentElement.scrollHeight === innerHeight");
    await page.getByText(words.unsaved, { exact: true }).waitFor();
    expect(await page.title()).toBe(words.unsavedTitle(texts.title(words.title)));

    // Problems while typing, at their place.
    await write(page, policy.replace('"read" if "guest";', '"read" if "gest";'));
    await page.getByText("`gest` is not declared in `Doc`").first().waitFor();
    await button(page, words.problems.place(name, 6, 13)).click();
    await page.locator(".cm-lint-marker-error").hover();
    await page.locator(".cm-tooltip-lint").getByText("`gest` is not declared in `Doc`").waitFor();
    await editor(page).press("ControlOrMeta+f");
    await page.getByRole("textbox", { name: "Find" }).fill("guest");
    await tab.expectAccessible();
    await page.keyboard.press("Escape");

    // Completion from the names of the policy.
    await write(page, `${policy}has_permission(user: User, `);
    await page.keyboard.type('"re');
    await page.getByRole("option", { name: /^reader/ }).waitFor();
    await tab.expectAccessible();
    await page.keyboard.press("Escape");

    // Tests: a failure is explained at its line, and each rule has the number of tests that exercise it.
    await write(page, policy.replace("assert allow", "assert_not allow"));
    await editor(page).press("ControlOrMeta+Enter");
    await panel(page, words.tests.title).getByText(words.tests.summary(0, 1)).waitFor();
    await page.locator(".cm-note.failure").getByText("expected false, came true").waitFor();
    expect(await page.locator(".cm-tested").allTextContents()).toEqual(["1"]);
    expect(await page.locator(".cm-untested").allTextContents()).toEqual(["0"]);
    await tab.expectAccessible();
    await tab.screenshot("policy");

    // Longhand, and the canonical form.
    await write(page, next);
    await button(page, words.actions.longhand).click();
    await page.getByText('has_permission(actor: Actor, "read", resource: Doc) if has_role').first().waitFor();
    await button(page, words.actions.longhand).click();
    await button(page, words.actions.format).click();
    await page.getByText(words.formatted(1)).waitFor();
    await editor(page).getByText("actor User {}").waitFor();
    await button(page, words.actions.discard).click();
    await page.getByRole("dialog").getByRole("button", { name: words.discard.confirm, exact: true }).click();
    await editor(page).getByText('"read" if "guest"').waitFor();
  });

  flow(
    "is saved after its effect is shown, has a history, and comes back from it",
    async (flow) => {
      await flow.call("POST", "/api/policy", { src: policy, filename: name, message: "first" });
      const fact = (user: string, role: string) => ({
        predicate: "has_role",
        args: [
          { type: "User", id: user },
          { type: "String", id: role },
          { type: "Doc", id: "plan" },
        ],
      });
      await flow.call("POST", "/api/batch", [{ inserts: [fact("gil", "guest"), fact("ann", "reader")] }]);
      const question = {
        actor_type: "User",
        actor_id: "gil",
        action: "read",
        resource_type: "Doc",
        resource_id: "plan",
      };
      await flow.call("POST", "/api/authorize", question);
      const tab = await flow.logIn("admin", "policy");
      const { page } = tab;
      await editor(page).waitFor();
      await write(page, next);

      // Before saving, the tab says what saving will say.
      await showTab(page, words.preview.title);
      const preview = panel(page, words.preview.title);
      await preview.getByText(words.effect.summary(1, 1)).waitFor();
      await preview.getByText(words.save.verdicts.changes).waitFor();

      // Somebody else was faster: the dialog shows both differences, and the draft goes on with that version.
      const theirs = { src: `${policy}# by somebody else\n`, filename: name, message: "a remark" };
      await flow.call("POST", "/api/policy", theirs);
      await editor(page).press("ControlOrMeta+s");
      const dialog = page.getByRole("dialog", { name: words.save.title });
      await dialog.getByText(words.conflict.saved("admin", 3)).waitFor();
      await dialog.getByText(theirs.message, { exact: true }).waitFor();
      await dialog.getByRole("textbox", { name: words.conflict.theirs }).getByText("# by somebody else").waitFor();
      await dialog.getByRole("textbox", { name: words.conflict.yours }).waitFor();
      await tab.expectAccessible();
      await dialog.getByRole("button", { name: words.conflict.goOn }).click();
      await page.getByRole("link", { name: words.versions.version(3) }).waitFor();
      await editor(page).press("ControlOrMeta+s");
      await dialog.getByText(words.effect.summary(1, 1)).waitFor();
      await dialog.getByText("User:gil read Doc:plan").waitFor();
      await dialog.getByText(words.save.verdicts.changes).waitFor();
      await dialog.getByText(words.save.differences).click();
      await dialog.getByRole("textbox", { name: words.save.differences }).waitFor();
      await tab.expectAccessible();
      await tab.screenshot("policy-effect");
      await dialog.getByLabel(words.save.message).fill("guests are gone <b>now</b>");
      await dialog.getByRole("button", { name: words.save.confirm("test"), exact: true }).click();
      await dialog.waitFor({ state: "detached" });
      await page.getByText("policy loaded").waitFor();
      expect(await flow.call("POST", "/api/authorize", question)).toEqual({ allowed: false });

      // Who, when and why, the differences, and the way back.
      await page.getByRole("link", { name: words.history, exact: true }).click();
      const versions = region(page, words.versions.title);
      await versions.getByText("guests are gone <b>now</b>").waitFor();
      await versions.getByText("admin key").first().waitFor();
      await tab.expectAccessible();
      await page.getByRole("link", { name: words.versions.compare, exact: true }).click();
      await page.getByRole("textbox", { name: words.versions.differences(3, 4) }).waitFor();
      await page.locator(".cm-deletedChunk").getByText('"read" if "guest";').waitFor();
      await tab.expectAccessible();
      await page.getByRole("link", { name: words.versions.allVersions }).click();
      await page.getByRole("link", { name: words.versions.showVersion(2) }).click();
      await button(page, words.versions.back).click();
      const back = page.getByRole("dialog", { name: words.rollback.title(2) });
      await back.getByText(words.save.verdicts.changes).waitFor();
      await back.getByRole("button", { name: words.save.confirm("test"), exact: true }).click();
      await page.getByText("policy loaded").waitFor();
      expect(await flow.call("POST", "/api/authorize", question)).toEqual({ allowed: true });
    },
    { flags: { "decisions.log": "all" } },
  );

  flow(
    "is text, whatever its name and its text are, and a read key sees no control that it cannot use",
    async (flow) => {
      const script = '<script>document.title = "run"</script>';
      const filename = `${script}.polar`;
      await flow.call("POST", "/api/policy", { src: `# ${script}\n${policy}`, filename, message: script });
      const url = await flow.edge();
      const limited = await flow.logIn("write", "policy", { url, only_predicates: ["has_role"] });
      await limited.page.getByText(words.readOnly).waitFor();
      await editor(limited.page, filename).waitFor();
      expect(await button(limited.page, words.actions.save).count()).toBe(0);
      const reader = await flow.logIn("read", "policy", { url });
      await editor(reader.page, filename).getByText(script).waitFor();
      await reader.page.getByText(words.readOnly).waitFor();
      for (const label of [words.actions.save, words.actions.format, words.files.add, words.files.open])
        expect(await button(reader.page, label).count()).toBe(0);
      await showTab(reader.page, words.tests.title);
      await button(reader.page, words.actions.test).click();
      await reader.page.getByText(words.tests.summary(1, 1)).waitFor();
      await reader.open("policy/history");
      await region(reader.page, words.versions.title).getByText(script, { exact: true }).waitFor();
      await reader.open("policy/version/1");
      await reader.heading(words.title).waitFor();
      await editor(reader.page, "policy.polar").waitFor();
      expect(await button(reader.page, words.versions.back).count()).toBe(0);

      // A writer on the same edge works with several files; the primary gets them.
      const writer = await flow.logIn("write", "policy", { url });
      const { page } = writer;
      await editor(page, filename).waitFor();
      await button(page, words.files.add).click();
      await write(page, "actor Robot {}\n", words.files.newName);
      await page.getByLabel(words.files.name).fill("robots.polar");
      await page.keyboard.press("Tab");
      await editor(page, "robots.polar").waitFor();
      // Another screen keeps the draft.
      await writer.open("overview");
      await writer.open("policy");
      await editor(page, "robots.polar").getByText("actor Robot {}").waitFor();
      await button(page, words.actions.save).click();
      const dialog = page.getByRole("dialog", { name: words.save.title });
      await dialog.getByText("logged decisions need a key with the role `admin`").waitFor();
      await dialog.getByRole("button", { name: words.save.confirm("test"), exact: true }).click();
      await page.getByText("policy loaded").waitFor();
      const lines = `# ${script}\n${policy}`.split("\n").length;
      const parts = [
        { filename, lines },
        { filename: "robots.polar", lines: 2 },
      ];
      const { policy: saved } = (await flow.call("GET", "/api/policy")) as {
        policy: object;
      };
      expect(saved).toEqual({
        src: `# ${script}\n${policy}\nactor Robot {}\n`,
        filename: `${filename}, robots.polar`,
        parts,
      });
    },
  );
});
