/**
 * Reads small regular files, such as certificates, keys and policies. Another program can put anything in their place:
 * opening a pipe would block the thread, and a device or a file that grows would fill the memory. Links are followed.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { open } from "node:fs/promises";

export interface RegularFile {
  readonly bytes: Buffer;
  readonly stats: Stats;
}

/** Opens a pipe without waiting for its other end. */
const flags = constants.O_RDONLY | constants.O_NONBLOCK;
const pieceBytes = 16 * 1024;

/** The whole content. Rejects with an error for `fileProblem`, also if it is no regular file or larger than `bytesMax`. */
export async function readRegularFile(path: string, bytesMax: number): Promise<RegularFile> {
  await using file = await open(path, flags);
  const content = new Content(await file.stat(), bytesMax);
  while (content.add((await file.read(content.piece, 0, pieceBytes, null)).bytesRead));
  return content;
}

/** The same for a start, before there is anything that it could delay. */
export function readRegularFileSync(path: string, bytesMax: number): RegularFile {
  const file = openSync(path, flags);
  try {
    const content = new Content(fstatSync(file), bytesMax);
    while (content.add(readSync(file, content.piece, 0, pieceBytes, null)));
    return content;
  } finally {
    closeSync(file);
  }
}

class Content implements RegularFile {
  readonly piece = Buffer.alloc(pieceBytes);
  readonly stats: Stats;
  readonly #bytesMax: number;
  readonly #pieces: Buffer[] = [];
  #length = 0;

  constructor(stats: Stats, bytesMax: number) {
    if (!stats.isFile()) throw new Error(stats.isDirectory() ? "it is a directory" : "it is no regular file");
    this.stats = stats;
    this.#bytesMax = bytesMax;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  /** Takes so many bytes of `piece`. Returns whether there can be more. */
  add(count: number): boolean {
    this.#pieces.push(Buffer.from(this.piece.subarray(0, count)));
    this.#length += count;
    if (this.#length > this.#bytesMax) throw new Error(`it is larger than ${this.#bytesMax / 1024} KiB`);
    return count > 0;
  }
}
