/**
 * Checksums of the pages of a database in use, in memory: SQLite has none of its own, so a bit that flips on the disk would change an answer without a
 * word. Whoever owns the only connection that writes the file moves the write-ahead log into it through `checkpoint`, so that each page is known that
 * SQLite has written since the start; the others are known from the first time that they are read here. What the file is compared with is thus what was
 * written to it. The log's frames have checksums already, which SQLite itself looks at only after a crash (https://www.sqlite.org/fileformat2.html#walformat).
 *
 * It reads the files past SQLite. INVARIANT: `close` comes after that of the connection that writes, since closing a file ends this process's locks on it.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { must } from "../util/assert.ts";

/** What came of a checkpoint. */
export interface Checkpointed {
  /** Those of the log that are committed. */
  readonly frames: number;
  /** How many of them are in the file now, from the first on. */
  readonly moved: number;
  /** Whether the log is empty after it. */
  readonly isEmptied: boolean;
}

interface Frame {
  readonly page: number;
  readonly checksum: number;
}

const [fileHeaderBytes, logHeaderBytes, frameHeaderBytes] = [100, 32, 24];
const pagesReadTogether = 64;
/** In place of the checksum 0, which stands for a page that is not known yet. */
const zeroStandsFor = 1;

export class PageChecksums {
  readonly path: string;
  readonly pageBytes: number;
  readonly #file: number;
  readonly #buffer: Buffer;
  readonly #log: WalReader;
  /** By page number; 0 where it is not known. */
  #known = new Uint32Array(1024);
  /** Those of the log that were read already and are committed, from its first frame on. */
  readonly #frames: Frame[] = [];
  /** Of each page of the log, which of its frames is the last. */
  readonly #lastOf = new Map<number, number>();
  /** How many frames are in the file. */
  #moved = 0;
  /** The next page to be read, from 1 on. */
  #next = 1;
  #isComplete = false;
  readonly #damaged = new Set<number>();
  #logProblem: string | undefined;

  /** Of the database at `path`, which is open and was just found sound. Throws where it can't be read. */
  constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, "r");
    this.pageBytes = pageBytesOf(this.#file);
    this.#buffer = Buffer.alloc(pagesReadTogether * this.pageBytes);
    this.#log = new WalReader(`${path}-wal`, this.pageBytes);
  }

  /** Bytes of the file. */
  get bytes(): number {
    return fstatSync(this.#file).size;
  }

  /**
   * Frames of the log that are not in the file; some of the last may be of a transaction that was rolled back. To be called after each commit, so that nobody
   * else moves frames into the file that were not seen here.
   */
  countUnmoved(): number {
    this.#lookAtLog();
    return this.#log.frames - this.#moved;
  }

  /** Runs a checkpoint, and notes what it has written to the file. Without a result there was none. */
  checkpoint(run: () => Checkpointed | undefined): void {
    const read = this.#readLog();
    const result = run();
    if (result === undefined) return;
    const { frames, moved, isEmptied } = result;
    // Those behind the last commit are written anew by the next transaction.
    for (const frame of read.slice(0, Math.max(0, frames - this.#frames.length)))
      this.#lastOf.set(frame.page, this.#frames.push(frame) - 1);
    if (moved > this.#frames.length)
      this.#logProblem = `frame ${this.#frames.length + 1} of \`${this.path}-wal\` is not what was written to it`;
    this.#frames.slice(this.#moved, moved).forEach(({ page, checksum }, index) => {
      // A page of which a later frame may not be moved yet is left as it is, although this one could be.
      if (this.#lastOf.get(page) === this.#moved + index) this.#note(page, checksum);
    });
    this.#moved = moved;
    this.#forgetFrom(this.#pages + 1);
    if (isEmptied) this.#beginLog();
  }

  /** Whether each page of the file is known. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /**
   * Reads the next pages, about so many bytes, and begins anew at the end of the file. Says what is wrong where something is, and whether the end was
   * reached. Throws where the file can't be read.
   */
  check(bytes: number): { readonly problem: string | undefined; readonly isEnd: boolean } {
    const pages = this.#pages;
    const last = Math.min(pages, this.#next + Math.max(1, Math.floor(bytes / this.pageBytes)) - 1);
    for (; this.#next <= last; this.#next += pagesReadTogether)
      this.#compare(this.#next, Math.min(pagesReadTogether, last - this.#next + 1));
    const isEnd = last >= pages;
    this.#next = isEnd ? 1 : last + 1;
    this.#isComplete ||= isEnd;
    return { problem: this.problem, isEnd };
  }

  /** What was found wrong so far. */
  get problem(): string | undefined {
    const [page] = this.#damaged;
    if (page === undefined) return this.#logProblem;
    const others = this.#damaged.size === 1 ? "" : ` (and ${this.#damaged.size - 1} more)`;
    return `page ${page}${others} of \`${this.path}\` is not what was written to it`;
  }

  /** Reads the pages again that were wrong: a disk may have misread them. Says what is wrong still. */
  checkAgain(): string | undefined {
    const damaged = [...this.#damaged];
    this.#damaged.clear();
    for (const page of damaged) this.#compare(page, 1);
    return this.problem;
  }

  close(): void {
    closeSync(this.#file);
    this.#log.close();
  }

  #compare(first: number, count: number): void {
    const { pageBytes } = this;
    const pages = this.#buffer;
    const read = readSync(this.#file, pages, 0, count * pageBytes, (first - 1) * pageBytes);
    for (let index = 0; (index + 1) * pageBytes <= read; index++) {
      const page = first + index;
      const checksum = checksumOf(pages.subarray(index * pageBytes, (index + 1) * pageBytes));
      const known = this.#known[page] ?? 0;
      if (known === 0 || checksum === known) this.#note(page, checksum);
      else if (this.#isInLog(page, checksum)) this.#note(page, checksum);
      else this.#damaged.add(page);
    }
  }

  /** Another process may have moved frames of the log into the file: then that is what the page is now. */
  #isInLog(page: number, checksum: number): boolean {
    const isIt = (frame: Frame): boolean => frame.page === page && frame.checksum === checksum;
    return this.#readLog().some(isIt) || this.#frames.some(isIt);
  }

  /** The frames behind those that are known. */
  #readLog(): readonly Frame[] {
    this.#lookAtLog();
    return this.#log.read(this.#frames.length);
  }

  /** The log begins anew once all of it is in the file. */
  #lookAtLog(): void {
    const before = this.#log.frames;
    if (!this.#log.look()) return;
    // Another process has moved what was not moved here: which pages those are is not known any more.
    if (before > this.#moved) this.#forgetFrom(1);
    this.#beginLog();
  }

  #beginLog(): void {
    this.#log.look();
    this.#frames.length = 0;
    this.#lastOf.clear();
    this.#moved = 0;
  }

  get #pages(): number {
    return Math.floor(this.bytes / this.pageBytes);
  }

  #note(page: number, checksum: number): void {
    if (page >= this.#known.length) {
      const longer = new Uint32Array(Math.max(page + 1, 2 * this.#known.length));
      longer.set(this.#known);
      this.#known = longer;
    }
    this.#known[page] = checksum;
    this.#damaged.delete(page);
  }

  #forgetFrom(page: number): void {
    if (page < this.#known.length) this.#known.fill(0, page);
    for (const damaged of this.#damaged) if (damaged >= page) this.#damaged.delete(damaged);
    if (page > 1) return;
    this.#isComplete = false;
    this.#next = 1;
  }
}

/** Closes a file that can't be read. */
function pageBytesOf(file: number): number {
  try {
    const header = Buffer.alloc(fileHeaderBytes);
    readSync(file, header, 0, header.length, 0);
    const bytes = header.readUInt16BE(16);
    return bytes === 1 ? 65_536 : bytes;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

function checksumOf(page: Uint8Array): number {
  return crc32(page) || zeroStandsFor;
}

/** The write-ahead log of a database, as its format is documented. */
class WalReader {
  readonly #path: string;
  readonly #frameBytes: number;
  #descriptor: number | undefined;
  /** The header of the log as it was last begun: another one stands for another log. */
  #header = Buffer.alloc(logHeaderBytes);
  #frames = 0;

  constructor(path: string, pageBytes: number) {
    this.#path = path;
    this.#frameBytes = frameHeaderBytes + pageBytes;
  }

  /** Those that were there at the last `look`. */
  get frames(): number {
    return this.#frames;
  }

  /** Counts the frames that came. Whether the log was begun anew. */
  look(): boolean {
    const header = Buffer.alloc(logHeaderBytes);
    if (this.#read(header, 0) < header.length) header.fill(0);
    const isNew = !header.equals(this.#header);
    if (isNew) this.#frames = 0;
    this.#header = header;
    const frame = Buffer.alloc(frameHeaderBytes);
    while (this.#read(frame, this.#positionOf(this.#frames)) === frame.length && this.#isOfThisLog(frame))
      this.#frames++;
    return isNew;
  }

  /** The frames from that one on, up to the first that is not what was written. */
  read(first: number): readonly Frame[] {
    const frames: Frame[] = [];
    if (first === this.#frames) return frames;
    const checksum = this.#checksumBefore(first);
    const together = Buffer.alloc(pagesReadTogether * this.#frameBytes);
    for (let index = first; index < this.#frames; index += pagesReadTogether) {
      const count = Math.min(pagesReadTogether, this.#frames - index);
      const read = this.#read(together.subarray(0, count * this.#frameBytes), this.#positionOf(index));
      for (let start = 0; start + this.#frameBytes <= read; start += this.#frameBytes) {
        const frame = together.subarray(start, start + this.#frameBytes);
        checksum.add(frame.subarray(0, 8));
        checksum.add(frame.subarray(frameHeaderBytes));
        if (!this.#isOfThisLog(frame) || !checksum.equals(frame, 16)) return frames;
        frames.push({ page: frame.readUInt32BE(0), checksum: checksumOf(frame.subarray(frameHeaderBytes)) });
      }
    }
    return frames;
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #isOfThisLog(frame: Buffer): boolean {
    return frame.compare(this.#header, 16, 24, 8, 16) === 0;
  }

  /** Each frame's checksum goes on from the one before, the first from the header's. */
  #checksumBefore(frame: number): WalChecksum {
    const isLittleEndian = (this.#header.readUInt32BE(0) & 1) === 0;
    if (frame === 0) return new WalChecksum(this.#header, 24, isLittleEndian);
    const before = Buffer.alloc(frameHeaderBytes);
    this.#read(before, this.#positionOf(frame - 1));
    return new WalChecksum(before, 16, isLittleEndian);
  }

  #positionOf(frame: number): number {
    return logHeaderBytes + frame * this.#frameBytes;
  }

  /** How many bytes there were: none while there is no log. */
  #read(target: Buffer, position: number): number {
    try {
      this.#descriptor ??= openSync(this.#path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
      throw error;
    }
    return readSync(must(this.#descriptor), target, 0, target.length, position);
  }
}

/** Two sums of 32 bits over pairs of words. */
class WalChecksum {
  readonly #isLittleEndian: boolean;
  #first: number;
  #second: number;

  /** Goes on from the one that is stored there. */
  constructor(stored: Buffer, offset: number, isLittleEndian: boolean) {
    this.#first = stored.readUInt32BE(offset);
    this.#second = stored.readUInt32BE(offset + 4);
    this.#isLittleEndian = isLittleEndian;
  }

  add(bytes: Uint8Array): void {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let [first, second] = [this.#first, this.#second];
    for (let offset = 0; offset < bytes.byteLength; offset += 8) {
      first = (first + words.getUint32(offset, this.#isLittleEndian) + second) >>> 0;
      second = (second + words.getUint32(offset + 4, this.#isLittleEndian) + first) >>> 0;
    }
    this.#first = first;
    this.#second = second;
  }

  equals(stored: Buffer, offset: number): boolean {
    return stored.readUInt32BE(offset) === this.#first && stored.readUInt32BE(offset + 4) === this.#second;
  }
}
