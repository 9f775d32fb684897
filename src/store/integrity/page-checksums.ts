/**
 * Checksums of the pages of a database in use, kept in memory. SQLite has no page checksums, so a bit that flips on the disk changes answers unnoticed.
 *
 * The node that writes the database reads each frame of the write-ahead log right after its commit. A checkpoint copies the last frame of each page into
 * the file, so from then on the checksum of that page is known. The other pages get their checksum when they are first read here. A start checks the
 * whole database just before.
 *
 * While a page has a frame that was not moved yet, the file may have its old or its new content, so the page is not compared.
 */
import { fstatSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { closeDeletedRawFiles, openRawFile, releaseRawFile, type RawFile } from "./raw-files.ts";
import { WalReader } from "./wal-reader.ts";

/** What SQLite says of the write-ahead log. */
export interface WalFrameCounts {
  /** Frames that are committed. */
  readonly committed: number;
  /** Frames that checkpoints have moved into the file, from the first on. */
  readonly checkpointed: number;
}

/** Asks SQLite. Returns undefined inside a transaction, where it gives no answer. */
export type CountFrames = () => WalFrameCounts | undefined;

interface FrameChecksum {
  readonly page: number;
  readonly checksum: number;
}

const pagesAtOnce = 64;
/** The checksum 0 means "unknown", so a page whose checksum is 0 gets this one. */
const insteadOfZero = 1;

export class PageChecksums {
  readonly path: string;
  readonly pageBytes: number;
  #countFrames: CountFrames;
  readonly #file: RawFile;
  readonly #buffer: Buffer;
  readonly #log: WalReader;
  /** By page number; 0 means unknown. */
  #known = new Uint32Array(1024);
  /** The frames of the present log that were read, from its first on. */
  readonly #frames: FrameChecksum[] = [];
  /** By page: the index of its last frame in `#frames`. */
  readonly #lastFrames = new Map<number, number>();
  #moved = 0;
  /** Pages of the database after the last commit. SQLite does not write frames of pages behind them. */
  #databasePages = Infinity;
  /** Pages that differ, until that can be confirmed. */
  readonly #suspected = new Set<number>();
  readonly #damaged = new Set<number>();

  /** For the database at `path`, which is open and was just found sound. Throws where the file can't be opened. */
  constructor(path: string, pageBytes: number, countFrames: CountFrames) {
    this.path = path;
    this.pageBytes = pageBytes;
    this.#countFrames = countFrames;
    this.#file = openRawFile(path);
    this.#buffer = Buffer.alloc(pagesAtOnce * pageBytes);
    this.#log = new WalReader(`${path}-wal`, pageBytes);
  }

  /** Another connection to the same file took the place of the one before. The log may be another file then, since the last connection deletes it. */
  reconnect(countFrames: CountFrames): void {
    this.#countFrames = countFrames;
    this.#log.close();
  }

  /** Pages of the file. */
  get pages(): number {
    return Math.floor(fstatSync(this.#file.descriptor).size / this.pageBytes);
  }

  /** Frames that were committed and not moved at the last `readWal`. */
  get uncheckpointed(): number {
    return this.#frames.length - this.#moved;
  }

  /**
   * Reads the frames that were committed since the last call, and learns which of them are in the file now. To be called after each commit and each
   * checkpoint. Returns false inside a transaction, where nothing can be learnt. Throws where the log can't be read.
   */
  readWal(): boolean {
    const counts = this.#countFrames();
    if (counts === undefined) return false;
    if (this.#log.wasReset()) this.#beginLog();
    for (const { page, databasePages, content } of this.#log.frames(this.#frames.length, counts.committed)) {
      this.#lastFrames.set(page, this.#frames.push({ page, checksum: checksumOf(content) }) - 1);
      if (databasePages > 0) this.#databasePages = databasePages;
    }
    this.#noteMoved(counts.checkpointed);
    closeDeletedRawFiles();
    return true;
  }

  /**
   * Compares pages from `first` on, about `bytes` of them. Returns the number of the next page; 1 at the end of the file. Throws where the file can't be
   * read.
   */
  check(first: number, bytes: number): number {
    const last = Math.min(this.pages, this.#databasePages);
    const end = Math.min(last + 1, first + Math.max(1, Math.floor(bytes / this.pageBytes)));
    for (let page = first; page < end; page += pagesAtOnce)
      for (const different of this.#findDifferent(page, Math.min(pagesAtOnce, end - page)))
        this.#suspected.add(different);
    this.#confirm();
    return end > last ? 1 : end;
  }

  /** The damage found so far. */
  get problem(): string | undefined {
    const [page] = this.#damaged;
    if (page === undefined) return undefined;
    const others = this.#damaged.size === 1 ? "" : ` (and ${this.#damaged.size - 1} more)`;
    return `page ${page}${others} of \`${this.path}\` is not what was written to it`;
  }

  /** Reads the damaged pages again, since the disk may have misread them. Returns the damage that is left. */
  checkDamaged(): string | undefined {
    for (const page of this.#damaged) if (this.#findDifferent(page, 1).length === 0) this.#damaged.delete(page);
    return this.problem;
  }

  /** To be called when the connection that writes is closed. */
  close(): void {
    this.#log.close();
    releaseRawFile(this.#file);
  }

  /** Another process may have made a checkpoint just now, so the log is read before a page counts as damaged. */
  #confirm(): void {
    if (this.#suspected.size === 0 || !this.readWal()) return;
    for (const page of this.#suspected) if (this.#findDifferent(page, 1).length > 0) this.#damaged.add(page);
    this.#suspected.clear();
  }

  /** Learns the checksums of pages that have none. */
  #findDifferent(first: number, count: number): readonly number[] {
    const { pageBytes } = this;
    const read = readSync(this.#file.descriptor, this.#buffer, 0, count * pageBytes, (first - 1) * pageBytes);
    const different: number[] = [];
    for (let page = first; (page - first + 1) * pageBytes <= read; page++) {
      if ((this.#lastFrames.get(page) ?? -1) >= this.#moved) continue;
      const start = (page - first) * pageBytes;
      const checksum = checksumOf(this.#buffer.subarray(start, start + pageBytes));
      const known = this.#known[page] ?? 0;
      if (known === 0) this.#note(page, checksum);
      else if (known !== checksum) different.push(page);
    }
    return different;
  }

  /** SQLite begins the log anew once all of it is in the file. */
  #beginLog(): void {
    this.#noteMoved(this.#frames.length);
    this.#frames.length = 0;
    this.#lastFrames.clear();
    this.#moved = 0;
  }

  #noteMoved(moved: number): void {
    if (moved <= this.#moved) return;
    for (let index = this.#moved; index < Math.min(moved, this.#frames.length); index++) {
      const frame = this.#frames[index];
      if (frame !== undefined && this.#lastFrames.get(frame.page) === index && frame.page <= this.#databasePages)
        this.#note(frame.page, frame.checksum);
    }
    this.#moved = moved;
    // Pages that a `VACUUM` has removed come back with other content.
    this.#known.fill(0, Math.min(this.#known.length, this.pages + 1));
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
}

function checksumOf(page: Uint8Array): number {
  return crc32(page) || insteadOfZero;
}
