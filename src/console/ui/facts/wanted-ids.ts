/** Which ids an input asks for, and what answers of the node say about them. Pure. */
import { formatValue, type Value, valueParameter } from "./fact-text.ts";

export interface WantedIds {
  readonly type: string;
  readonly prefix: string;
  /** The text before the object. */
  readonly before: string;
}

/** As `GET /api/objects` answers. */
export interface IdsAnswer {
  readonly ids: readonly string[];
  readonly more: boolean;
}

const typeName = String.raw`[\p{L}_][\p{L}\p{N}_]*(?:::[\p{L}_][\p{L}\p{N}_]*)*`;
/** The last object of a text; its id ends where an argument does. */
const openObject = new RegExp(String.raw`^(|.*[\s,(])(${typeName}):(?!:)([^\s",(){}]*)$`, "su");
const wholeObject = new RegExp(String.raw`^()(${typeName}):(?!:)([^"]*)$`, "su");

/** The object at the end of the text. Undefined if no id is begun there. */
export function wantedIds(text: string): WantedIds | undefined {
  const [, before, type, prefix] = openObject.exec(text) ?? wholeObject.exec(text) ?? [];
  if (before === undefined || type === undefined || prefix === undefined) return undefined;
  return { before, type, prefix };
}

/** Whole texts with one of the ids. */
export function textsWith({ before }: WantedIds, values: readonly Value[]): string[] {
  return values.map((value) => (before === "" ? valueParameter(value) : before + formatValue(value)));
}

/** The answers so far. An answer that is complete has those for longer texts. */
export class IdsAnswers {
  readonly #answers = new Map<string, IdsAnswer>();

  add(type: string, prefix: string, answer: IdsAnswer): void {
    this.#answers.set(keyOf(type, prefix), answer);
  }

  /** Undefined if the node has to be asked. */
  find(type: string, prefix: string): readonly string[] | undefined {
    const exact = this.#answers.get(keyOf(type, prefix));
    if (exact !== undefined) return exact.ids;
    for (let end = prefix.length - 1; end >= 0; end--) {
      const answer = this.#answers.get(keyOf(type, prefix.slice(0, end)));
      if (answer?.more === false) return answer.ids.filter((id) => id.startsWith(prefix));
    }
    return undefined;
  }
}

function keyOf(type: string, prefix: string): string {
  return `${type}:${prefix}`;
}
