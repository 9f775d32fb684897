/**
 * Checksums of the pages of a database in use, in memory: SQLite has none of its own, so a bit that flips on the disk would change an answer without a
 * word. Whoever owns the only connection that writes the file moves the write-ahead log into it through `checkpoint`, so that each page is known that
 * SQLite has written since the start; the others are known from the first time that they are read here. What the file is compared with is thus what was
 * written to it. The frames of the log (https://www.sqlite.org/fileformat2.html#walformat) are read right after each commit, and compared before they are moved:
 * their own checksums would take ten times as long.
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
/** What most commits have. */
const pagesReadAtOnce = 16;
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
    this.#readLog();
    return this.#frames.length - this.#moved;
  }

  /** Runs a checkpoint, and notes what it has written to the file. Without a result there was none. */
  checkpoint(run: () => Checkpointed | undefined): void {
    this.#readLog();
    const changed = this.#log.findChanged(this.#frames, this.#moved);
    const result = run();
    if (result === undefined) return;
    const { frames, moved, isEmptied } = result;
    // A commit that failed may have left frames that look as if they were committed.
    this.#keepFrames(frames);
    if (changed !== undefined && changed < moved)
      this.#logProblem = `frame ${changed + 1} of \`${this.path}-wal\` is not what was written to it`;
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
    this.#readLog();
    return this.#frames.some((frame) => frame.page === page && frame.checksum === checksum);
  }

  /** The log begins anew once all of it is in the file. */
  #readLog(): void {
    if (this.#log.isNew()) {
      // Another process has moved what was not moved here: which pages those are is not known any more.
      if (this.#frames.length > this.#moved) this.#forgetFrom(1);
      this.#beginLog();
    }
    for (const frame of this.#log.readCommitted(this.#frames.length))
      this.#lastOf.set(frame.page, this.#frames.push(frame) - 1);
  }

  #beginLog(): void {
    this.#log.begin();
    this.#frames.length = 0;
    this.#lastOf.clear();
    this.#moved = 0;
  }

  /** So many from the first on. */
  #keepFrames(count: number): void {
    if (count >= this.#frames.length) return;
    this.#frames.length = count;
    this.#lastOf.clear();
    this.#frames.forEach(({ page }, index) => this.#lastOf.set(page, index));
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
  readonly #together: Buffer;
  #descriptor: number | undefined;
  /** The header of the log as it was last begun: another one stands for another log. */
  #header: Buffer = Buffer.alloc(logHeaderBytes);

  constructor(path: string, pageBytes: number) {
    this.#path = path;
    this.#frameBytes = frameHeaderBytes + pageBytes;
    this.#together = Buffer.alloc(pagesReadTogether * this.#frameBytes);
  }

  /** Whether the log was begun anew since the last `begin`. */
  isNew(): boolean {
    return !this.#readHeader().equals(this.#header);
  }

  /** The log as it is now is the one that is read. */
  begin(): void {
    this.#header = this.#readHeader();
  }

  /** The frames from that one on, up to the last that ends a commit. */
  readCommitted(first: number): readonly Frame[] {
    const frames: Frame[] = [];
    let committed = 0;
    for (let count = pagesReadAtOnce; ; count = pagesReadTogether) {
      const read = this.#readFrames(first + frames.length, count);
      const ofThisLog = read.findIndex((frame) => frame.compare(this.#header, 16, 24, 8, 16) !== 0);
      for (const frame of ofThisLog === -1 ? read : read.slice(0, ofThisLog)) {
        frames.push({ page: frame.readUInt32BE(0), checksum: checksumOf(frame.subarray(frameHeaderBytes)) });
        // The size of the database after the commit, in the frame that ends one.
        if (frame.readUInt32BE(4) > 0) committed = frames.length;
      }
      if (ofThisLog !== -1 || read.length < count) return frames.slice(0, committed);
    }
  }

  /** The first of these frames, from that one on, that is not what it was. */
  findChanged(frames: readonly Frame[], first: number): number | undefined {
    for (let at = first; at < frames.length; at += pagesReadTogether) {
      const known = frames.slice(at, at + pagesReadTogether);
      const read = this.#readFrames(at, known.length);
      const changed = known.findIndex(({ page, checksum }, index) => {
        const frame = read[index];
        return frame?.readUInt32BE(0) !== page || checksumOf(frame.subarray(frameHeaderBytes)) !== checksum;
      });
      if (changed !== -1) return at + changed;
    }
    return undefined;
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #readHeader(): Buffer {
    const header = Buffer.alloc(logHeaderBytes);
    if (this.#read(header, 0) < header.length) header.fill(0);
    return header;
  }

  /** Whole frames, at most so many; valid until the next are read. */
  #readFrames(first: number, count: number): readonly Buffer[] {
    const target = this.#together.subarray(0, count * this.#frameBytes);
    const whole = Math.floor(this.#read(target, logHeaderBytes + first * this.#frameBytes) / this.#frameBytes);
    return Array.from({ length: whole }, (_, index) =>
      target.subarray(index * this.#frameBytes, (index + 1) * this.#frameBytes),
    );
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
