/** Shared questions: they come back as they were, and what comes from strangers is read strictly and within bounds. */
import { describe, expect, test } from "bun:test";
import { deflateRawSync } from "node:zlib";
import { kindOf } from "../../src/console/ui/share/environment-kind.ts";
import { packText, unpackText } from "../../src/console/ui/share/packed-text.ts";
import {
  readShared,
  sharedBytesMax,
  writeShared,
  type SharedQuestion,
} from "../../src/console/ui/share/shared-question.ts";
import { samples } from "../../src/console/ui/start/samples.ts";
import { shareTexts } from "../../src/console/ui/texts/share.ts";

const { problems } = shareTexts;

const shared: readonly SharedQuestion[] = samples.flatMap(({ policy, facts, questions }) =>
  questions.map(({ draft, answer }) => ({ draft, policy, facts, answer })),
);

test("a question comes back from its file and its link as it was", async () => {
  for (const each of shared) {
    expect(readShared(writeShared(each))).toEqual(each);
    const packed = await packText(writeShared(each));
    expect(packed).toMatch(/^[\w-]+$/);
    expect(packed.length).toBeLessThan(8192);
    expect(readShared(await unpackText(packed))).toEqual(each);
  }
  const text = 'policy of "Zoë" \u{1f5dd}\n';
  expect(await unpackText(await packText(text))).toBe(text);
});

describe("what a stranger sends", () => {
  const good = JSON.parse(writeShared(shared[0] as SharedQuestion)) as Record<string, object>;
  const { question, facts } = good as { question: object; facts: string[] };

  test.each<[string, unknown, string]>([
    ["is no object", [], problems.noQuestion],
    ["has another format", { ...good, format: "x" }, problems.noQuestion],
    ["has a later version", { ...good, version: 2 }, problems.version("2")],
    ["has a key", { ...good, token: "e_x" }, problems.invalid("token")],
    [
      "has a part of another kind",
      { ...good, question: { ...question, calls: "" } },
      problems.invalid("question.calls"),
    ],
    ["has an unknown kind", { ...good, question: { ...question, kind: "x" } }, problems.invalid("question.kind")],
    ["has a number as an actor", { ...good, question: { ...question, actor: 5 } }, problems.invalid("question.actor")],
    ["has no object as an actor", { ...good, question: { ...question, actor: "max" } }, "max is no object"],
    ["has a fact that is none", { ...good, facts: ["has_role(User:_)"] }, problems.invalid("facts")],
    ["has too many facts", { ...good, facts: new Array(1001).fill(facts[0]) }, problems.invalid("facts")],
    ["has a long fact", { ...good, facts: [`p(User:${"x".repeat(5000)})`] }, problems.invalid("facts")],
    ["has a text as the answer", { ...good, answer: "yes" }, problems.invalid("answer")],
    ["has no policy", { ...good, policy: null }, problems.invalid("policy")],
    ["is too large", { ...good, policy: "x".repeat(sharedBytesMax) }, problems.tooLarge],
  ])("and %s is refused", (_, content, message) => {
    expect(() => readShared(JSON.stringify(content))).toThrow(message);
  });

  test("and is no JSON, or nested deeply, is refused", () => {
    expect(() => readShared("{")).toThrow(problems.noQuestion);
    expect(() => readShared("[".repeat(sharedBytesMax))).toThrow(problems.noQuestion);
  });

  test.each(["", "!", "%41", "AAAA", "_".repeat(50), "e30"])("and is no compressed text (%j) is refused", (packed) =>
    expect(unpackText(packed)).rejects.toThrow(problems.noQuestion),
  );

  test("and unpacks to more than the bound is not unpacked further", async () => {
    const bomb = deflateRawSync(Buffer.alloc(400 * sharedBytesMax)).toString("base64url");
    expect(bomb.length).toBeLessThan(600_000);
    const before = performance.now();
    await expect(unpackText(bomb)).rejects.toThrow(problems.tooLarge);
    expect(performance.now() - before).toBeLessThan(2000);
    const cut = (await packText(writeShared(shared[0] as SharedQuestion))).slice(0, -20);
    await expect(unpackText(cut)).rejects.toThrow(problems.noQuestion);
  });
});

test("the id of an environment says whether it was made for a shared question", () => {
  expect(["testenv0123456789abcdef", "open-0123abcd"].map(kindOf)).toEqual(["throw-away", "hosted"]);
  expect(["testenv", "default", "open-", "open-source", "testenv0123456789abcdeF"].map(kindOf)).toEqual(
    new Array(5).fill(undefined),
  );
});
