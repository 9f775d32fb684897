/** Shared questions: made with what is behind them, shown before anything happens, and opened in environments of their own. */
import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { packText } from "../../../src/console/ui/share/packed-text.ts";
import { readShared, writeShared } from "../../../src/console/ui/share/shared-question.ts";
import { emptyDraft } from "../../../src/console/ui/start/shown-answer.ts";
import { askTexts } from "../../../src/console/ui/texts/ask.ts";
import { reasonTexts } from "../../../src/console/ui/texts/reason.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { shareTexts } from "../../../src/console/ui/texts/share.ts";
import { startTexts } from "../../../src/console/ui/texts/start.ts";
import { throwAwayTexts } from "../../../src/console/ui/texts/throw-away.ts";
import { texts } from "../../../src/console/ui/texts.ts";
import { must } from "../../../src/util/assert.ts";
import type { Tab } from "./browser.ts";
import { withDevNode } from "./dev-node.ts";
import { flow } from "./flow.ts";

const words = shareTexts;
const denial = "ask/authorize?actor=User%3Abob&action=delete&resource=Repository%3Acompiler";

describe("a question with policy and facts", () => {
  flow("is made after its content was shown, and opens in a throw-away environment of `ostiary dev`", async (flow) => {
    const tab = await flow.logIn("read", denial);
    const { page } = tab;
    await page.getByRole("button", { name: words.share }).click();
    const contents = page.getByRole("region", { name: words.contents });
    await contents.waitFor();
    expect(await contents.innerText()).toContain("User:bob");
    expect(await page.getByText("#/open/").count()).toBe(0);
    await tab.expectAccessible();
    await page.getByRole("button", { name: words.make }).click();
    await page.getByText(words.link, { exact: true }).click();
    const link = await page.getByLabel(words.link, { exact: true }).innerText();
    const packed = must(/#\/open\/([\w-]+)$/.exec(link)?.[1]);

    await withDevNode(async (node) => {
      const other = await flow.tab(node.url);
      await other.page.goto(node.link());
      await other.heading(startTexts.title).waitFor();
      const changes = changesOf(other);
      const session = await sessionOf(other);
      await other.open(`open/${packed}`);
      await other.page.getByRole("region", { name: words.policy }).last().waitFor();
      const open = other.page.getByRole("button", { name: words.throwAway });
      await open.waitFor();
      await other.expectAccessible();
      // A link does nothing by itself.
      expect([changes, await sessionOf(other)]).toEqual([[], session]);

      await open.click();
      await other.page.getByText(reasonTexts.denied, { exact: true }).waitFor();
      const banner = other.page.getByRole("complementary");
      expect(await banner.innerText()).toMatch(/^testenv[0-9a-f]{16} is an environment for a shared question\./);
      await other.expectAccessible();
      await banner.getByRole("button", { name: throwAwayTexts.back("0123456789") }).click();
      await other.page.getByRole("heading", { name: startTexts.empty }).waitFor();
      await banner.waitFor({ state: "detached" });
      expect(await other.page.getByLabel(texts.account.environment, { exact: true }).inputValue()).toBe("0123456789");
    });
  });

  flow("opens from a file in a hosted environment with a button that deletes it", async (flow) => {
    const maker = await flow.logIn("read", "ask/list?actor=User%3Aalice&action=read&type=Repository");
    await maker.page.getByRole("button", { name: words.share }).click();
    await maker.page.getByRole("region", { name: words.contents }).waitFor();
    await maker.page.getByRole("button", { name: words.make }).click();
    const download = maker.page.waitForEvent("download");
    await maker.page.getByRole("button", { name: words.save }).click();
    const path = await (await download).path();
    expect((await download).suggestedFilename()).toBe(words.fileName);
    const shared = readShared(readFileSync(path, "utf8"));
    expect(shared.answer).toHaveLength(4);

    await maker.open("open");
    await maker.page.getByLabel(words.choose, { exact: true }).setInputFiles(path);
    await maker.page.getByText(words.cannot).waitFor();

    const tab = await flow.logIn("admin", "open");
    const { page } = tab;
    await page.getByLabel(words.choose, { exact: true }).setInputFiles(path);
    const before = await flow.call("GET", "/api/facts?page_size=1000");
    await page.getByRole("button", { name: /open-[0-9a-f]{8}/ }).click();
    await page.getByText(askTexts.results.count("4", false), { exact: true }).waitFor();
    expect(await flow.call("GET", "/api/facts?page_size=1000")).toEqual(before);
    const remove = page.getByRole("button", { name: throwAwayTexts.delete });
    await remove.click();
    await page.getByRole("dialog").getByRole("button", { name: throwAwayTexts.delete }).click();
    await tab.heading(overviewTexts.title).waitFor();
    const { environments } = (await flow.call("GET", "/api/environments")) as { environments: { state: string }[] };
    expect(environments.map(({ state }) => state)).toEqual(["active", "deleted"]);
  });

  flow("of a stranger is text, and says what is wrong with it", async (flow) => {
    const script = `<img src=x onerror="document.title = 'run'">`;
    const text = writeShared({
      draft: { ...emptyDraft, actor: `User:${script}`, action: "read", resource: "Repository:x" },
      ...{ policy: `# ${script}\nactor User {}`, facts: [], answer: true },
    });
    const tab = await flow.logIn("admin");
    await tab.page.getByText(overviewTexts.noProblems).waitFor();
    const changes = changesOf(tab);
    const session = await sessionOf(tab);
    await tab.open(`open/${await packText(text)}`);
    await tab.page.getByText(`User:${script}`).waitFor();
    await tab.page.getByRole("button", { name: /open-/ }).waitFor();
    await tab.open(`open/${await packText(text.replace('"answer": true', '"answer": true, "token": "e_x"'))}`);
    await tab.page.getByText(words.problems.invalid("token")).waitFor();
    await tab.open("open/AAAA");
    await tab.page.getByText(words.problems.noQuestion).waitFor();
    await tab.open(`open/${await packText("x".repeat(2_000_000))}`);
    await tab.page.getByText(words.problems.tooLarge).waitFor();
    expect([changes, await sessionOf(tab)]).toEqual([[], session]);
    expect(await tab.page.title()).toBe(texts.title(words.openTitle));
  });
});

/** The requests that change something, from now on. */
function changesOf({ page }: Tab): string[] {
  const changes: string[] = [];
  page.on("request", (request) => {
    if (!["GET", "OPTIONS"].includes(request.method())) changes.push(`${request.method()} ${request.url()}`);
  });
  return changes;
}

function sessionOf({ page }: Tab): Promise<unknown> {
  return page.evaluate("JSON.stringify(sessionStorage)");
}
