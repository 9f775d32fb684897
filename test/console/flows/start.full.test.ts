/** The first run: every sample loads with one click and shows the answers that it promises; nothing is overwritten. */
import { describe, expect } from "bun:test";
import { samples } from "../../../src/console/ui/start/samples.ts";
import { reasonTexts } from "../../../src/console/ui/texts/reason.ts";
import { overviewTexts } from "../../../src/console/ui/texts/overview.ts";
import { shareTexts } from "../../../src/console/ui/texts/share.ts";
import { startTexts } from "../../../src/console/ui/texts/start.ts";
import type { Tab } from "./browser.ts";
import { withDevNode } from "./dev-node.ts";
import { flow } from "./flow.ts";

const words = startTexts;
const environment = "0123456789";

describe("an empty environment", () => {
  flow(
    "loads a sample with one click, shows its answers, and leads to its questions",
    async (flow) => {
      for (const sample of samples)
        await withDevNode(async (node) => {
          const tab = await flow.tab(node.url);
          const { page } = tab;
          await page.goto(node.link());
          await tab.heading(words.title).waitFor();
          if (sample === samples[0]) await tab.expectAccessible();
          await page.getByRole("button", { name: words.loadSample(sample.title, environment) }).click();
          await tab.heading(sample.title).waitFor();
          for (const { text, answer } of sample.questions)
            await page
              .getByRole("listitem")
              .filter({ hasText: text })
              .getByText(shown(answer), { exact: true })
              .waitFor();
          if (sample === samples[0]) await tab.expectAccessible();
          const denial = sample.questions.find(({ answer }) => answer === false);
          await page.getByRole("link", { name: denial?.text ?? "" }).click();
          await page.getByText(reasonTexts.denied, { exact: true }).waitFor();
          await tab.open("start");
          await page.getByText(words.notEmpty).waitFor();
          expect(await loadButtons(tab).count()).toBe(0);
          if (sample === samples.at(-1)) {
            await page.getByRole("button", { name: words.openSampleElsewhere("Folders in folders") }).click();
            await page.getByRole("button", { name: shareTexts.throwAway }).click();
            await page.getByText(reasonTexts.allowed, { exact: true }).waitFor();
          }
          await tab.page.close();
        });
    },
    { loaded: false },
  );

  flow(
    "is not overwritten if it was filled meanwhile, and a key that may only read sees no button",
    async (flow) => {
      const reader = await flow.logIn("read");
      await reader.page.getByRole("heading", { name: words.empty }).waitFor();
      await reader.page.getByRole("link", { name: words.toSamples }).click();
      await reader.page.getByText(words.readOnly).waitFor();
      expect(await loadButtons(reader).count()).toBe(0);
      const tab = await flow.logIn("write", "start");
      await loadButtons(tab).first().waitFor();
      await flow.call("POST", "/api/policy", { src: "actor User {}" });
      await loadButtons(tab).first().click();
      await tab.page.getByRole("alert").getByText(words.notEmpty).waitFor();
      expect(await flow.call("GET", "/api/policy")).toMatchObject({ policy: { src: "actor User {}" } });
      expect(await flow.call("GET", "/api/facts?page_size=1")).toMatchObject({ results: [] });
      await tab.open("overview");
      await tab.heading(overviewTexts.title).waitFor();
      await tab.page.getByText(overviewTexts.noProblems).waitFor();
      expect(await tab.page.getByRole("heading", { name: words.empty }).count()).toBe(0);
    },
    { loaded: false },
  );
});

function shown(answer: boolean | readonly string[]): string {
  if (typeof answer === "boolean") return answer ? words.allowed : words.denied;
  return answer.join(", ");
}

function loadButtons({ page }: Tab) {
  return page.getByRole("button", { name: /^Load/ });
}
