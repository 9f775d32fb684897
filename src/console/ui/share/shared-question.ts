/**
 * A question with the policy and the facts behind it, as a file or a link, which another node opens in an environment of
 * its own. It comes from anybody, so reading it is strict: known members, bounded sizes, facts and a question that can be
 * parsed. It never has a key.
 */
import { type Draft, draftFields, questionKinds, questionOf } from "../ask/question.ts";
import { type Fact, formatFact, parseFact } from "../facts/fact-text.ts";
import { emptyDraft, type ShownAnswer } from "../start/shown-answer.ts";
import { shareTexts } from "../texts/share.ts";

export interface SharedQuestion {
  /** With its context facts. */
  readonly draft: Draft;
  readonly policy: string;
  readonly facts: readonly Fact[];
  /** What the node answered that made it. */
  readonly answer: ShownAnswer;
}

/** The format that this release writes, and the only one that it reads. */
const format = "ostiary-question";
const version = 1;

/** Of the JSON text. */
export const sharedBytesMax = 1024 * 1024;
export const sharedFactsMax = 1000;
const resultsMax = 1000;
const textCharactersMax = 4096;

export function writeShared({ draft, policy, facts, answer }: SharedQuestion): string {
  const fields = draftFields(draft.kind).map((field) => [field, draft[field]]);
  const question = { kind: draft.kind, ...Object.fromEntries(fields), context: draft.context.map(formatFact) };
  return JSON.stringify({ format, version, question, answer, policy, facts: facts.map(formatFact) }, null, 2);
}

/** Throws an error that says what is wrong. */
export function readShared(text: string): SharedQuestion {
  if (new TextEncoder().encode(text).length > sharedBytesMax) throw new Error(shareTexts.problems.tooLarge);
  const whole = record(parsed(text), ["format", "version", "question", "answer", "policy", "facts"]);
  if (whole["format"] !== format) throw new Error(shareTexts.problems.noQuestion);
  if (whole["version"] !== version) throw new Error(shareTexts.problems.version(String(whole["version"]).slice(0, 20)));
  const question = record(whole["question"], ["kind", "actor", "action", "resource", "type", "calls", "context"]);
  const kind = questionKinds.find((each) => each === question["kind"]);
  if (kind === undefined) throw invalid("question.kind");
  const fields = draftFields(kind);
  const unused = Object.keys(question).find(
    (name) => name !== "kind" && name !== "context" && !fields.some((field) => field === name),
  );
  if (unused !== undefined) throw invalid(`question.${unused}`);
  const written = Object.fromEntries(fields.map((field) => [field, string(question[field], `question.${field}`)]));
  const draft: Draft = { ...emptyDraft, ...written, kind, context: factsIn(question["context"], "question.context") };
  const checked = questionOf(draft);
  if ("problem" in checked) throw new Error(checked.problem);
  const answer = whole["answer"];
  const isAnswer =
    typeof answer === "boolean" ||
    (Array.isArray(answer) && answer.length <= resultsMax && answer.every((each) => typeof each === "string"));
  if (!isAnswer) throw invalid("answer");
  if (typeof whole["policy"] !== "string") throw invalid("policy");
  return { draft, policy: whole["policy"], facts: factsIn(whole["facts"], "facts"), answer };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(shareTexts.problems.noQuestion);
  }
}

function record(value: unknown, names: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(shareTexts.problems.noQuestion);
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw invalid(unknown);
  return value as Readonly<Record<string, unknown>>;
}

function string(value: unknown, name: string): string {
  if (typeof value !== "string" || value.length > textCharactersMax) throw invalid(name);
  return value;
}

function factsIn(value: unknown, name: string): Fact[] {
  if (!Array.isArray(value) || value.length > sharedFactsMax) throw invalid(name);
  return value.map((text: unknown) => {
    const fact = parseFact(string(text, name));
    if (fact === undefined) throw invalid(name);
    return fact;
  });
}

function invalid(name: string): Error {
  return new Error(shareTexts.problems.invalid(name.slice(0, 100)));
}
