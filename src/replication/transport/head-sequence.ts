/**
 * The sequence numbers of a primary's heads. A broker can repeat a head that it has seen, so an edge believes a head only if its number is greater
 * than every number before it. A number must therefore never be used twice, not even after a crash: numbers are reserved in blocks, and the end of
 * the block is noted in the data directory before the first number of it is used. A start continues at the end of the last reserved block.
 */
import { join } from "node:path";
import { readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { reasonOf } from "../../util/reason.ts";

const log = getLogger("feed");

const noteName = "head-sequence";

export interface HeadSequenceOptions {
  /** The data directory. */
  readonly directory: string;
  /** How many numbers one write reserves. */
  readonly blockSize: number;
  readonly wallMs: () => number;
}

export class HeadSequence {
  readonly #directory: string;
  readonly #block: number;
  #next: number;
  /** The first number that is not reserved. */
  #end: number;
  #failed = false;
  #exhausted = false;

  constructor({ directory, blockSize: block, wallMs }: HeadSequenceOptions) {
    this.#directory = directory;
    this.#block = block;
    this.#next = this.#end = firstNumber(directory, wallMs);
  }

  /** The greatest number that a head may have had until now, also one from before the last start. */
  get last(): number {
    return this.#next - 1;
  }

  /** A number that no head had before. Undefined if none is reserved and the disk takes no reservation: then there is no head. */
  next(): number | undefined {
    if (this.#end - this.#next <= this.#block / 2) this.#reserve();
    if (this.#next < this.#end) {
      this.#exhausted = false;
      return this.#next++;
    }
    if (!this.#exhausted)
      log.error(
        "no sequence number is left: this primary publishes no heads until it can write to {directory}, edges ask it over HTTP instead",
        { directory: this.#directory },
      );
    this.#exhausted = true;
    return undefined;
  }

  #reserve(): void {
    const end = this.#next + this.#block;
    try {
      writeNodeFile(this.#directory, noteName, String(end));
    } catch (error) {
      if (!this.#failed)
        log.error(
          "sequence numbers of heads can't be reserved in {path}, {count} are left: make room there, or make it writable. It is tried again with each head: {reason}",
          { path: join(this.#directory, noteName), count: this.#end - this.#next, reason: reasonOf(error) },
        );
      this.#failed = true;
      return;
    }
    if (this.#failed) log.info("sequence numbers of heads can be reserved again");
    this.#failed = false;
    this.#end = end;
  }
}

/** The end of the last reserved block. Where the note is damaged, the time in ms: no primary has published that many heads. */
function firstNumber(directory: string, wallMs: () => number): number {
  const note = readNodeFile(directory, noteName);
  if (note === undefined) return 1;
  if (/^\d{1,15}$/.test(note)) return Number(note);
  log.error("{path} is damaged: the sequence of heads goes on from the present time", {
    path: join(directory, noteName),
  });
  return wallMs();
}
