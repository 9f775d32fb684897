/**
 * Questions as JSON. A question that is too large for the serving thread is parsed only by the thread that answers it.
 */
import type { QuestionKind, Questions } from "./questions.ts";

/** A valid question as JSON. */
export class SerializedQuestion<Kind extends QuestionKind> {
  readonly kind: Kind;
  readonly json: string;

  constructor(kind: Kind, json: string) {
    this.kind = kind;
    this.json = json;
  }
}

/** A map becomes a list of its entries. */
export const questionToJson = (question: object): string =>
  JSON.stringify(question, (_, value: unknown) => (value instanceof Map ? [...value] : value));

export function questionFromJson<Kind extends QuestionKind>(kind: Kind, json: string): Questions[Kind]["question"] {
  const question = JSON.parse(json) as Questions[Kind]["question"];
  return kind === "query" && "variables" in question
    ? { ...question, variables: new Map(question.variables) }
    : question;
}
