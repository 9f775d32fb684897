/**
 * Answers as JSON in parts, for those that are too large to be made or held in one piece on the serving thread. A worker process makes a part when
 * the one before it is on its way to the client.
 */

/** One part of an answer's JSON. */
export interface AnswerPart {
  readonly text: string;
  readonly isLast: boolean;
}

/** Where the parts after the first come from. */
export interface PartSource {
  next(): Promise<AnswerPart>;
  /** Ends the work. `isWhole` says whether the last part was read, so that nothing is left to do. */
  end(isWhole: boolean): void;
}

/** The caller has to read all of it, or close it. */
export class AnswerParts {
  readonly #source: PartSource | undefined;
  #part: AnswerPart | undefined;

  constructor(first: AnswerPart, source: PartSource | undefined) {
    this.#part = first;
    this.#source = source;
  }

  /** The whole answer, where it has one part only. */
  get whole(): string | undefined {
    return this.#part?.isLast === true ? this.#part.text : undefined;
  }

  /** The next part. Rejects where the process that makes them has ended. */
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

/** Long enough that a part costs little for each byte, short enough that a few of them cost little memory. */
const partCharacters = 128 * 1024;

/** The pieces up to the next bound between parts. */
export function takePart(pieces: Iterator<string>): AnswerPart {
  const taken: string[] = [];
  for (let length = 0; length < partCharacters;) {
    const { done, value } = pieces.next();
    if (done === true) return { text: taken.join(""), isLast: true };
    taken.push(value);
    length += value.length;
  }
  return { text: taken.join(""), isLast: false };
}

/** The JSON of a list, piece by piece; of an object with the list under a key, where one is given. */
export function* listPieces(items: Iterable<unknown>, key: string | undefined): Generator<string, undefined> {
  yield key === undefined ? "[" : `{${JSON.stringify(key)}:[`;
  let separator = "";
  for (const item of items) {
    yield separator + JSON.stringify(item);
    separator = ",";
  }
  yield key === undefined ? "]" : "]}";
}
