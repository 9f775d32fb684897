/** Reads the frames of a write-ahead log (https://www.sqlite.org/fileformat2.html#walformat). */
import { closeSync, openSync, readSync } from "node:fs";

export interface WalFrame {
  readonly page: number;
  /** In the last frame of a commit: the number of pages of the database after it. 0 in all other frames. */
  readonly databasePages: number;
  /** The content of the page, until the next frame is read. */
  readonly content: Buffer;
}

const [logHeaderBytes, frameHeaderBytes] = [32, 24];
/** Most commits have fewer frames. */
const framesAtOnce = 16;

export class WalReader {
  readonly #path: string;
  readonly #frameBytes: number;
  readonly #buffer: Buffer;
  #descriptor: number | undefined;
  /** SQLite writes another header when it resets the log. */
  #header: Buffer = Buffer.alloc(logHeaderBytes);

  /** The log at `path` need not exist yet. */
  constructor(path: string, pageBytes: number) {
    this.#path = path;
    this.#frameBytes = frameHeaderBytes + pageBytes;
    this.#buffer = Buffer.alloc(framesAtOnce * this.#frameBytes);
  }

  /** Whether the log was reset since the last call. Throws if it cannot be read. */
  wasReset(): boolean {
    const header = Buffer.alloc(logHeaderBytes);
    if (this.#read(header, 0) < header.length) header.fill(0);
    const isNew = !header.equals(this.#header);
    this.#header = header;
    return isNew;
  }

  /** The frames from `first` up to, but not including, `end`. Throws if they cannot be read. */
  *frames(first: number, end: number): Generator<WalFrame> {
    for (let at = first; at < end; at += framesAtOnce) {
      const wanted = this.#buffer.subarray(0, Math.min(framesAtOnce, end - at) * this.#frameBytes);
      if (this.#read(wanted, logHeaderBytes + at * this.#frameBytes) < wanted.length)
        throw new Error(`\`${this.#path}\` is shorter than its ${end} frames`);
      for (let start = 0; start < wanted.length; start += this.#frameBytes) {
        const content = wanted.subarray(start + frameHeaderBytes, start + this.#frameBytes);
        yield { page: wanted.readUInt32BE(start), databasePages: wanted.readUInt32BE(start + 4), content };
      }
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** Returns the number of bytes; 0 if there is no log. */
  #read(target: Buffer, position: number): number {
    try {
      this.#descriptor ??= openSync(this.#path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
      throw error;
    }
    return readSync(this.#descriptor, target, 0, target.length, position);
  }
}
