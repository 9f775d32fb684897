/** The samples of the console: loaded into a node each, where the tests pass and every question has the answer that it shows. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { questionOf, requestOf } from "../../src/console/ui/ask/question.ts";
import { formatFact } from "../../src/console/ui/facts/fact-text.ts";
import { fillEnvironment } from "../../src/console/ui/start/fill.ts";
import { type CallEnvironment, isEmptyEnvironment } from "../../src/console/ui/state/environment-content.ts";
import { samples } from "../../src/console/ui/start/samples.ts";
import { answerIn } from "../../src/console/ui/start/shown-answer.ts";
import { startTexts } from "../../src/console/ui/texts/start.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import { withPrimary } from "../http/api.ts";

const folder = join(projectRoot, "src", "console", "ui", "start", "samples");

test("each file of a policy is a sample, and has all its facts", () => {
  const files = readdirSync(folder).filter((name) => name.endsWith(".polar"));
  expect(samples.map(({ name }) => `${name}.polar`).toSorted()).toEqual(files.toSorted());
  for (const { name, facts } of samples) {
    const file = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as { readonly facts: string[] };
    expect(facts.map(formatFact)).toEqual(file.facts);
  }
});

describe.each(samples.map((sample) => [sample.name, sample] as const))(
  "%s",
  (_, { name, policy, facts, questions }) => {
    test("has three or four questions, one of them a denial, and answers them on a node", () =>
      withPrimary(async (api) => {
        const call: CallEnvironment = async (path, { method = "GET", body }) => {
          const { status, json } = await api.call(method, path, body === undefined ? {} : { body });
          expect({ path, status, json }).toMatchObject({ status: 200 });
          return json;
        };
        expect(await isEmptyEnvironment(call)).toBe(true);
        await fillEnvironment(call, { policy, filename: `${name}.polar`, facts });
        expect(await isEmptyEnvironment(call)).toBe(false);
        await expect(fillEnvironment(call, { policy, filename: `${name}.polar`, facts })).rejects.toThrow(
          startTexts.notEmpty,
        );
        const stored = (await call("/api/facts?page_size=1000", {})) as { results: object[] };
        expect(stored.results).toHaveLength(facts.length);
        const report = await call("/api/test", { method: "POST", body: { src: policy } });
        expect(report).toMatchObject({ success: true, problems: [], failures: [] });

        expect(questions.length).toBeGreaterThanOrEqual(3);
        expect(questions.length).toBeLessThanOrEqual(4);
        expect(questions.some(({ answer }) => answer === false)).toBe(true);
        for (const { text, draft, answer } of questions) {
          const question = questionOf(draft);
          if ("problem" in question) throw new Error(`${text}: ${question.problem}`);
          const { path, body } = requestOf(question);
          expect([text, answerIn(question, await call(path, { method: "POST", body }))]).toEqual([text, answer]);
        }
      }));
  },
);
