/**
 * Sequence numbers for a primary's heads. A broker can repeat an old head, so an edge accepts a head only if its number
 * is greater than all numbers before it. A number must therefore never be used twice, not even after a crash: numbers
 * are reserved in blocks, and the end of a block is stored in the data directory before its first number is used. A
 * restart continues at the end of the last reserved block.
 */
import { join } from "node:path";
import { readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { reasonOf } from "../../util/reason.ts";

const log = getLogger("event-stream");

const fileName = "head-sequence";

export class HeadSequence {
  readonly #directory: string;
  readonly #blockSize: number;
  #next: number;
  /** The first number that is not reserved. */
  #end: number;
  #hasFailed = false;
  #isExhausted = false;

  /** `directory` is the data directory. One write reserves `blockSize` numbers. */
  constructor(directory: string, blockSize: number, wallMs: () => number) {
    this.#directory = directory;
    this.#blockSize = blockSize;
    this.#next = this.#end = firstNumber(directory, wallMs);
  }

  /** The greatest number that a head may have had until now, including heads from before the last start. */
  get last(): number {
    return this.#next - 1;
  }

  /** A number that no head had before. Undefined if none is reserved and the disk accepts no reservation. */
  next(): number | undefined {
    if (this.#end - this.#next <= this.#blockSize / 2) this.#reserve();
    if (this.#next < this.#end) {
      this.#isExhausted = false;
      return this.#next++;
    }
    if (!this.#isExhausted)
      log.error(
        "no sequence number is left: this primary publishes no heads until it can write to {directory}; edges ask it over HTTP instead",
        { directory: this.#directory },
      );
    this.#isExhausted = true;
    return undefined;
  }

  #reserve(): void {
    const end = this.#next + this.#blockSize;
    try {
      writeNodeFile(this.#directory, fileName, String(end));
    } catch (error) {
      if (!this.#hasFailed)
        log.error(
          "sequence numbers of heads cannot be reserved in {path}, {count} are left: free some space there, or make it writable. Each head tries again: {reason}",
          { path: join(this.#directory, fileName), count: this.#end - this.#next, reason: reasonOf(error) },
        );
      this.#hasFailed = true;
      return;
    }
    if (this.#hasFailed) log.info("sequence numbers of heads can be reserved again");
    this.#hasFailed = false;
    this.#end = end;
  }
}

/**
 * The end of the last reserved block. If the file is damaged, the time in ms: no primary has published that many heads.
 */
function firstNumber(directory: string, wallMs: () => number): number {
  const stored = readNodeFile(directory, fileName);
  if (stored === undefined) return 1;
  if (/^\d{1,15}$/.test(stored)) return Number(stored);
  log.error("{path} is damaged: sequence numbers of heads continue from the current time", {
    path: join(directory, fileName),
  });
  return wallMs();
}
