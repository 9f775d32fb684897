/** Zstandard, for snapshots on disk and on the wire. Files are streamed, so that their size does not become memory. */
import { createReadStream, createWriteStream } from "node:fs";
import { createHash } from "node:crypto";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { AppError } from "../util/app-error.ts";

export interface FileDigest {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

const level = 3; // 135 MB of a database in 0.3 s; higher levels cost several times that for a few per cent
/** With pieces of the usual 64 KiB, handing them over takes as long as the work itself. */
const pieceBytes = 2 ** 20;

/** Compresses the file at `source` into a new file at `target`, after `front`. Gives size and hash of what it wrote after that. */
export async function compressFile(source: string, target: string, front: Uint8Array): Promise<FileDigest> {
  const compressor = createZstdCompress({
    chunkSize: pieceBytes,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const meter = new DigestTransform();
  // Whose file it is alone: what is packed may be as secret as what it came from.
  const output = createWriteStream(target, { flags: "wx", mode: 0o600 });
  output.write(front);
  await pipeline(createReadStream(source, { highWaterMark: pieceBytes }), compressor, meter, output);
  return meter.digest();
}

/**
 * The way back, from byte `start` on; gives the size of what came out. Refuses to write more than `bytesMax`, since a small file can hold a very
 * large one.
 */
export async function decompressFile(source: string, target: string, start: number, bytesMax: number): Promise<number> {
  let bytes = 0;
  const bound = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) done(new AppError("too_large", `the unpacked file is larger than ${bytesMax} bytes`));
      else done(null, chunk);
    },
  });
  await pipeline(
    createReadStream(source, { start, highWaterMark: pieceBytes }),
    createZstdDecompress({ chunkSize: pieceBytes }),
    bound,
    createWriteStream(target, { flags: "wx", mode: 0o600 }),
  );
  return bytes;
}

/** Size and hash of a file from byte `start` on. */
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
  return Bun.zstdCompress(bytes, { level });
}

export function decompress(bytes: Uint8Array): Promise<Uint8Array> {
  return Bun.zstdDecompress(bytes);
}

/** Passes bytes through, counts and hashes them. */
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

  digest(): FileDigest {
    return { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }
}
