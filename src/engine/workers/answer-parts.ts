/** Answers as JSON in parts, which a worker process makes: they are too large for the serving thread as a whole. */
import { answerPartCharacters } from "../../util/tuning.ts";
import type { AnswerNote } from "../request/questions.ts";

/** One part of an answer's JSON. */
export interface AnswerPart {
  readonly text: string;
  readonly isLast: boolean;
  /** Only the first part of a decision has it. */
  readonly note?: AnswerNote;
}

/** The source of the parts after the first. */
export interface PartSource {
  next(): Promise<AnswerPart>;
  /** Ends the work. `isWhole` says whether the last part was read, so that nothing is left to do. */
  end(isWhole: boolean): void;
}

/** An answer in parts. The caller has to read all parts or call `close`. */
export class AnswerParts {
  readonly #source: PartSource | undefined;
  #part: AnswerPart | undefined;

  constructor(first: AnswerPart, source: PartSource | undefined) {
    this.#part = first;
    this.#source = source;
  }

  /** The whole answer if it has only one part. */
  get whole(): string | undefined {
    return this.#part?.isLast === true ? this.#part.text : undefined;
  }

  /** The next part. Rejects if the worker process has ended. */
  async next(): Promise<AnswerPart> {
    const part = this.#part ?? (await this.#source?.next());
    this.#part = undefined;
    if (part === undefined) throw new Error("the answer has no more parts");
    if (part.isLast) this.#source?.end(true);
    return part;
  }

  close(): void {
    this.#source?.end(false);
  }
}

/** Takes pieces until the part is long enough. */
export function takePart(pieces: Iterator<string>): AnswerPart {
  const taken: string[] = [];
  for (let length = 0; length < answerPartCharacters;) {
    const { done, value } = pieces.next();
    if (done === true) return { text: taken.join(""), isLast: true };
    taken.push(value);
    length += value.length;
  }
  return { text: taken.join(""), isLast: false };
}

/** The JSON of a list in pieces; if a key is given, of an object that holds the list under this key. */
export function* listPieces(items: Iterable<unknown>, key: string | undefined): Generator<string, undefined> {
  yield key === undefined ? "[" : `{${JSON.stringify(key)}:[`;
  let separator = "";
  for (const item of items) {
    yield separator + JSON.stringify(item);
    separator = ",";
  }
  yield key === undefined ? "]" : "]}";
}
