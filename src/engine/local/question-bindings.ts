/**
 * The data bindings of questions, parsed. Applications send the same text with each question, so parsed bindings are
 * kept by their text.
 */
import { LRUCache } from "lru-cache";
import type { Limits } from "../../config/limits.ts";
import { type DataBindings, parseBindings } from "../../local/bindings.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { findBindings } from "../../store/keys/stored-bindings.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { parsedBindingsMax, servingThreadBindingsCharacters } from "../../util/tuning.ts";
import { OffloadRequired } from "../query/offload-required.ts";
import type { BindingsReference } from "../request/questions.ts";

/** Parsed bindings, and their text. */
export interface ParsedBindings {
  readonly text: string;
  readonly bindings: DataBindings;
}

export class QuestionBindings {
  readonly #database: Connection;
  readonly #limits: Limits;
  readonly #onServingThread: boolean;
  readonly #parsed = new LRUCache<string, DataBindings>({ max: parsedBindingsMax });

  constructor(database: Connection, limits: Limits, onServingThread: boolean) {
    this.#database = database;
    this.#limits = limits;
    this.#onServingThread = onServingThread;
  }

  /**
   * The same object for the same text, mostly. Throws AppError `invalid_request` for invalid bindings, `not_found` for an
   * unknown name, and OffloadRequired on the serving thread for a large text that is new.
   */
  of(reference: BindingsReference): DataBindings {
    const text = this.#textOf(reference);
    const known = this.#parsed.get(text);
    if (known !== undefined) return known;
    // A text that is too large is refused at once.
    const isLong = text.length > servingThreadBindingsCharacters && text.length <= this.#limits.bindingsBytesMax;
    if (this.#onServingThread && isLong) throw new OffloadRequired("large data bindings");
    const bindings = parseBindings(text, this.#limits);
    this.add({ text, bindings });
    return bindings;
  }

  /** Adds bindings that another process has parsed. Known ones stay, because plans belong to the object. */
  add({ text, bindings }: ParsedBindings): void {
    if (!this.#parsed.has(text)) this.#parsed.set(text, bindings);
  }

  /** The parsed bindings of a question that was answered; undefined if they are not kept any more. */
  find(reference: BindingsReference): ParsedBindings | undefined {
    const text = this.#textOf(reference);
    const bindings = this.#parsed.get(text);
    return bindings && { text, bindings };
  }

  #textOf(reference: BindingsReference): string {
    if ("text" in reference) return reference.text;
    const stored = findBindings(this.#database, reference.name);
    if (stored !== undefined) return stored.text;
    const message = `no data bindings are stored under the name \`${clip(reference.name, 64)}\`: store them with \`ostiary bindings put\`, or send their text as \`data_bindings\``;
    throw new AppError("not_found", message);
  }
}
