/** Zstandard compression for snapshots and HTTP bodies. Files are streamed, so memory does not depend on their size. */
import { createReadStream, createWriteStream } from "node:fs";
import { createHash } from "node:crypto";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { constants, createZstdCompress, createZstdDecompress, zstdCompress, zstdDecompress } from "node:zlib";
import { AppError } from "../util/app-error.ts";

export interface FileDigest {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

const level = 3; // 135 MB of a database in 0.3 s; higher levels cost several times that for a few per cent
/** With the usual 64 KiB, passing the pieces on takes as long as compressing them. */
const pieceBytes = 2 ** 20;

/**
 * Compresses the file at `source` into a new file at `target`, behind `header`. Returns size and hash of the compressed
 * content.
 */
export async function compressFile(source: string, target: string, header: Uint8Array): Promise<FileDigest> {
  const compressor = createZstdCompress({
    chunkSize: pieceBytes,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const digest = new DigestTransform();
  // For its owner only: a compressed file is as secret as its source.
  const output = createWriteStream(target, { flags: "wx", mode: 0o600 });
  output.write(header);
  await pipeline(createReadStream(source, { highWaterMark: pieceBytes }), compressor, digest, output);
  return digest.result();
}

/**
 * Decompresses a file from byte `start` on, and returns the size of the result. Throws if that exceeds `bytesMax`,
 * because a small file can unpack to a very large one.
 */
export async function decompressFile(source: string, target: string, start: number, bytesMax: number): Promise<number> {
  let bytes = 0;
  const limiter = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) done(new AppError("too_large", `the unpacked file is larger than ${bytesMax} bytes`));
      else done(null, chunk);
    },
  });
  await pipeline(
    createReadStream(source, { start, highWaterMark: pieceBytes }),
    createZstdDecompress({ chunkSize: pieceBytes }),
    limiter,
    createWriteStream(target, { flags: "wx", mode: 0o600 }),
  );
  return bytes;
}

/** The size and the hash of a file from byte `start` on. */
export async function digestFile(path: string, start: number): Promise<FileDigest> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path, { start, highWaterMark: pieceBytes }) as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  return { bytes, sha256: hash.digest("hex") };
}

export function compress(bytes: Uint8Array): Promise<Uint8Array> {
  return promisify(zstdCompress)(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } });
}

export function decompress(bytes: Uint8Array): Promise<Uint8Array> {
  return promisify(zstdDecompress)(bytes);
}

/** Passes bytes through, and counts and hashes them. */
class DigestTransform extends Transform {
  readonly #hash = createHash("sha256");
  #bytes = 0;

  override _transform(
    chunk: Uint8Array,
    _encoding: BufferEncoding,
    done: (error?: Error | null, chunk?: Uint8Array) => void,
  ): void {
    this.#bytes += chunk.byteLength;
    this.#hash.update(chunk);
    done(null, chunk);
  }

  result(): FileDigest {
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }
}
