/** Zstandard compression of files. They are streamed, so memory does not depend on their size. */
import { createReadStream, createWriteStream } from "node:fs";
import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { AppError } from "../util/app-error.ts";
import { filePieceBytes as pieceBytes, zstandardLevel as level } from "../util/tuning.ts";

export interface FileDigest {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/**
 * Compresses the file at `source` into a new file at `target`, behind `header`. Returns size and hash of the compressed
 * content.
 */
export async function compressFile(source: string, target: string, header: Uint8Array): Promise<FileDigest> {
  const compressor = createZstdCompress({
    chunkSize: pieceBytes,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const digest = startDigest();
  // For its owner only: a compressed file is as secret as its source.
  const output = createWriteStream(target, { flags: "wx", mode: 0o600 });
  output.write(header);
  await pipeline(createReadStream(source, { highWaterMark: pieceBytes }), compressor, forEach(digest.add), output);
  return digest.result();
}

/**
 * Decompresses a file from byte `start` on, and returns the size of the result. Throws if that exceeds `bytesMax`,
 * because a small file can unpack to a very large one.
 */
export async function decompressFile(source: string, target: string, start: number, bytesMax: number): Promise<number> {
  let bytes = 0;
  const count = ({ byteLength }: Uint8Array): void => {
    bytes += byteLength;
    if (bytes > bytesMax) throw new AppError("too_large", `the unpacked file is larger than ${bytesMax} bytes`);
  };
  await pipeline(
    createReadStream(source, { start, highWaterMark: pieceBytes }),
    createZstdDecompress({ chunkSize: pieceBytes }),
    forEach(count),
    createWriteStream(target, { flags: "wx", mode: 0o600 }),
  );
  return bytes;
}

/** The size and the hash of a file from byte `start` on. */
export async function digestFile(path: string, start: number): Promise<FileDigest> {
  const digest = startDigest();
  for await (const piece of createReadStream(path, { start, highWaterMark: pieceBytes })) digest.add(piece as Buffer);
  return digest.result();
}

function startDigest() {
  const hash = createHash("sha256");
  let bytes = 0;
  return {
    add(piece: Uint8Array): void {
      bytes += piece.byteLength;
      hash.update(piece);
    },
    result: (): FileDigest => ({ bytes, sha256: hash.digest("hex") }),
  };
}

/** A stage of a pipeline that passes each piece on after `visit`, whose error ends the pipeline. */
function forEach(visit: (piece: Uint8Array) => void) {
  return async function* (pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      visit(piece);
      yield piece;
    }
  };
}
