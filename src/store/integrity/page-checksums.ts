/**
 * Checksums of the pages of an open database, in memory. SQLite has none, so a bit that flips on the disk would change
 * answers unnoticed.
 *
 * The writing node reads each frame of the write-ahead log right after its commit. A checkpoint copies the last frame of
 * each page into the file; from then on its checksum is known. All other pages get theirs when they are first read
 * here, just after the start has checked the whole database. A page with a frame that is not checkpointed is not
 * compared, because the file may have its old or its new content.
 */
import { fstatSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { closeDeletedRawFiles, openRawFile, releaseRawFile, type RawFile } from "./raw-files.ts";
import { WalReader } from "./wal-reader.ts";

/** Frames of the write-ahead log, as SQLite counts them. */
export interface WalFrameCounts {
  /** Committed frames. */
  readonly committed: number;
  /** Frames that checkpoints have copied into the file, from the first one on. */
  readonly checkpointed: number;
}

/** Asks SQLite. Returns undefined inside a transaction, because SQLite does not answer there. */
export type CountFrames = () => WalFrameCounts | undefined;

interface FrameChecksum {
  readonly page: number;
  readonly checksum: number;
}

const pagesAtOnce = 64;
/** 0 means "unknown", so a page whose checksum is 0 gets this one. */
const insteadOfZero = 1;

export class PageChecksums {
  readonly path: string;
  readonly pageBytes: number;
  #countFrames: CountFrames;
  readonly #file: RawFile;
  readonly #buffer: Buffer;
  readonly #log: WalReader;
  /** Checksums by page number; 0 means unknown. */
  #known = new Uint32Array(1024);
  /** The frames of the log since its last reset. */
  readonly #frames: FrameChecksum[] = [];
  /** By page: the index of its last frame in `#frames`. */
  readonly #lastFrames = new Map<number, number>();
  #checkpointed = 0;
  /** The pages of the database after the last commit. SQLite does not checkpoint frames of later pages. */
  #databasePages = Infinity;
  /** Pages that differ, but were not confirmed yet. */
  readonly #suspected = new Set<number>();
  readonly #damaged = new Set<number>();

  /** For the database at `path`, which is open and was just verified. Throws if the file cannot be opened. */
  constructor(path: string, pageBytes: number, countFrames: CountFrames) {
    this.path = path;
    this.pageBytes = pageBytes;
    this.#countFrames = countFrames;
    this.#file = openRawFile(path);
    this.#buffer = Buffer.alloc(pagesAtOnce * pageBytes);
    this.#log = new WalReader(`${path}-wal`, pageBytes);
  }

  /** For another connection to the same file. The log may be another file: the last connection deletes it. */
  reconnect(countFrames: CountFrames): void {
    this.#countFrames = countFrames;
    this.#log.close();
  }

  /** The number of pages in the file. */
  get pages(): number {
    return Math.floor(fstatSync(this.#file.descriptor).size / this.pageBytes);
  }

  /** Frames that were committed but not checkpointed at the last `readWal`. */
  get uncheckpointed(): number {
    return this.#frames.length - this.#checkpointed;
  }

  /**
   * Reads the frames since the last call, and notes which of them are in the file. To be called after each commit and
   * each checkpoint. Returns false inside a transaction, where it can do nothing. Throws if the log cannot be read.
   */
  readWal(): boolean {
    const counts = this.#countFrames();
    if (counts === undefined) return false;
    if (this.#log.wasReset()) this.#resetLog();
    for (const { page, databasePages, content } of this.#log.frames(this.#frames.length, counts.committed)) {
      this.#lastFrames.set(page, this.#frames.push({ page, checksum: checksumOf(content) }) - 1);
      if (databasePages > 0) this.#databasePages = databasePages;
    }
    this.#noteCheckpointed(counts.checkpointed);
    closeDeletedRawFiles();
    return true;
  }

  /** Compares about `bytes` of pages from `first` on. Returns the next page, 1 at the end. Throws if it cannot read. */
  check(first: number, bytes: number): number {
    const last = Math.min(this.pages, this.#databasePages);
    const end = Math.min(last + 1, first + Math.max(1, Math.floor(bytes / this.pageBytes)));
    for (let page = first; page < end; page += pagesAtOnce)
      for (const different of this.#findDifferent(page, Math.min(pagesAtOnce, end - page)))
        this.#suspected.add(different);
    this.#confirm();
    return end > last ? 1 : end;
  }

  /** The damage that was found so far. */
  get problem(): string | undefined {
    const [page] = this.#damaged;
    if (page === undefined) return undefined;
    const others = this.#damaged.size === 1 ? "" : ` (and ${this.#damaged.size - 1} more)`;
    return `page ${page}${others} of \`${this.path}\` is not what was written to it`;
  }

  /** Reads the damaged pages again, because the disk may have misread them. Returns the remaining damage. */
  checkDamaged(): string | undefined {
    for (const page of this.#damaged) if (this.#findDifferent(page, 1).length === 0) this.#damaged.delete(page);
    return this.problem;
  }

  /** To be called when the writing connection is closed. */
  close(): void {
    this.#log.close();
    releaseRawFile(this.#file);
  }

  /** Another process may have made a checkpoint meanwhile, so the log is read before a page counts as damaged. */
  #confirm(): void {
    if (this.#suspected.size === 0 || !this.readWal()) return;
    for (const page of this.#suspected) if (this.#findDifferent(page, 1).length > 0) this.#damaged.add(page);
    this.#suspected.clear();
  }

  /** Notes the checksums of pages that have none yet. */
  #findDifferent(first: number, count: number): readonly number[] {
    const { pageBytes } = this;
    const read = readSync(this.#file.descriptor, this.#buffer, 0, count * pageBytes, (first - 1) * pageBytes);
    const different: number[] = [];
    for (let page = first; (page - first + 1) * pageBytes <= read; page++) {
      if ((this.#lastFrames.get(page) ?? -1) >= this.#checkpointed) continue;
      const start = (page - first) * pageBytes;
      const checksum = checksumOf(this.#buffer.subarray(start, start + pageBytes));
      const known = this.#known[page] ?? 0;
      if (known === 0) this.#note(page, checksum);
      else if (known !== checksum) different.push(page);
    }
    return different;
  }

  /** SQLite resets the log after all of it was copied into the file. */
  #resetLog(): void {
    this.#noteCheckpointed(this.#frames.length);
    this.#frames.length = 0;
    this.#lastFrames.clear();
    this.#checkpointed = 0;
  }

  #noteCheckpointed(checkpointed: number): void {
    if (checkpointed <= this.#checkpointed) return;
    for (let index = this.#checkpointed; index < Math.min(checkpointed, this.#frames.length); index++) {
      const frame = this.#frames[index];
      if (frame !== undefined && this.#lastFrames.get(frame.page) === index && frame.page <= this.#databasePages)
        this.#note(frame.page, frame.checksum);
    }
    this.#checkpointed = checkpointed;
    // A page that a `VACUUM` has removed may return with another content.
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
