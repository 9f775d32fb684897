/** Questions as JSON, for those that are too large to be read on the serving thread: only the thread that answers one reads it. */
import type { QuestionKind, Questions } from "./questions.ts";

/** A question that was checked, as JSON. */
export class SerializedQuestion<Kind extends QuestionKind> {
  readonly kind: Kind;
  readonly json: string;

  constructor(kind: Kind, json: string) {
    this.kind = kind;
    this.json = json;
  }
}

/** As `JSON.stringify` takes it: a map becomes a list of its entries. */
export const questionToJson = (question: object): string =>
  JSON.stringify(question, (_, value: unknown) => (value instanceof Map ? [...value] : value));

export function questionFromJson<Kind extends QuestionKind>(kind: Kind, json: string): Questions[Kind]["question"] {
  const question = JSON.parse(json) as Questions[Kind]["question"];
  return kind === "query" && "variables" in question
    ? { ...question, variables: new Map(question.variables) }
    : question;
}
