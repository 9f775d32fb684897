/** Zstandard, for snapshots on disk and on the wire. Files are streamed, so that their size does not become memory. */
import { createReadStream, createWriteStream } from "node:fs";
import { createHash } from "node:crypto";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { AppError } from "../util/app-error.ts";

export interface FileDigest {
  readonly bytes: number;
  /** Lower-case hex, of the bytes written. */
  readonly sha256: string;
}

const level = 3; // 135 MB of a database in 0.3 s; higher levels cost several times that for a few per cent

/** Compresses the file at `source` into a new file at `target`, and gives the size and hash of what it wrote. */
export async function compressFile(source: string, target: string): Promise<FileDigest> {
  const compress = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: level } });
  const meter = new Meter();
  await pipeline(createReadStream(source), compress, meter, createWriteStream(target, { flags: "wx" }));
  return meter.digest();
}

/** The way back. Refuses to write more than `bytesMax`, since a small file can hold a very large one. */
export async function decompressFile(source: string, target: string, bytesMax: number): Promise<FileDigest> {
  const meter = new Meter(bytesMax);
  await pipeline(createReadStream(source), createZstdDecompress(), meter, createWriteStream(target, { flags: "wx" }));
  return meter.digest();
}

export function compress(bytes: Uint8Array): Promise<Uint8Array> {
  return Bun.zstdCompress(bytes, { level });
}

export function decompress(bytes: Uint8Array): Promise<Uint8Array> {
  return Bun.zstdDecompress(bytes);
}

/** Passes bytes through, counts and hashes them. */
class Meter extends Transform {
  readonly #hash = createHash("sha256");
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax = Number.POSITIVE_INFINITY) {
    super();
    this.#bytesMax = bytesMax;
  }

  override _transform(
    chunk: Uint8Array,
    _encoding: BufferEncoding,
    done: (error?: Error | null, chunk?: Uint8Array) => void,
  ): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > this.#bytesMax)
      return done(new AppError("too_large", `the unpacked file is larger than ${this.#bytesMax} bytes`));
    this.#hash.update(chunk);
    done(null, chunk);
  }

  digest(): FileDigest {
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }
}
