/**
 * The note of a data directory that `ostiary restore` has filled: there may be environments that this node does not know
 * yet, because their backups are restored later, or because only other nodes have them. Its time is over after some time,
 * so that keys of environments that nobody has are refused as wrong keys again. It stays until there is a list of
 * environments, or an operator says that there are no others.
 */
import { readNodeFile, removeNodeFile, restoredName, writeNodeFile } from "../store/directory/data-directory.ts";
import type { Clock } from "../util/clock.ts";

export class RestoredNote {
  readonly #directory: string;
  readonly #waitMs: number;
  readonly #clock: Clock;
  /** Undefined without a note. */
  #untilMs: number | undefined;

  constructor(directory: string, waitMs: number, clock: Clock) {
    this.#directory = directory;
    this.#waitMs = waitMs;
    this.#clock = clock;
  }

  /** Reads the note. At the first start after the restore, the time begins. */
  read(): void {
    const text = readNodeFile(this.#directory, restoredName);
    if (text === undefined) return;
    if (/^\d+$/.test(text)) this.#untilMs = Number(text);
    else this.begin();
  }

  begin(): void {
    this.#write(this.#clock.wallMs() + this.#waitMs);
  }

  /** When it ends, in ms since 1970. Undefined without a note. */
  get untilMs(): number | undefined {
    return this.#untilMs;
  }

  /** Whether there is a note, and its time is over. */
  get isOver(): boolean {
    return this.#untilMs !== undefined && this.#untilMs <= this.#clock.wallMs();
  }

  /** An operator says that there are no other environments. */
  end(): void {
    if (this.#untilMs !== undefined) this.#write(1);
  }

  remove(): void {
    if (this.#untilMs === undefined) return;
    this.#untilMs = undefined;
    removeNodeFile(this.#directory, restoredName);
  }

  #write(untilMs: number): void {
    this.#untilMs = untilMs;
    writeNodeFile(this.#directory, restoredName, String(untilMs));
  }
}
