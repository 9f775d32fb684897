import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compressFile, decompressFile, digestFile } from "../../src/runtime/compress.ts";

let directory = "";
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ostiary-compress-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe("Zstandard", () => {
  test("a compressed file can be decompressed, and its size and hash are returned", async () => {
    const content = Buffer.from(Array.from({ length: 200_000 }, (_, n) => `fact ${n}`).join("\n"));
    const [source, packed, unpacked] = ["a", "a.zst", "b"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    await writeFile(source, content);
    const written = await compressFile(source, packed, Buffer.from("before"));
    const packedBytes = (await readFile(packed)).subarray("before".length);
    expect(written).toEqual({ bytes: packedBytes.byteLength, sha256: sha256(packedBytes) });
    expect(written.bytes).toBeLessThan(content.byteLength / 3);
    expect(await digestFile(packed, "before".length)).toEqual(written);

    expect(await decompressFile(packed, unpacked, "before".length, content.byteLength)).toBe(content.byteLength);
    expect((await readFile(unpacked)).equals(content)).toBe(true);
  });

  test("a file that unpacks to more than allowed is rejected, and so is a damaged one", async () => {
    const [source, packed] = [join(directory, "zeros"), join(directory, "zeros.zst")];
    await writeFile(source, Buffer.alloc(1_000_000));
    await compressFile(source, packed, new Uint8Array());
    const bomb = await decompressFile(packed, join(directory, "c"), 0, 10_000).catch((error: Error) => error.message);
    expect(bomb).toBe("the unpacked file is larger than 10000 bytes");

    const damaged = await readFile(packed);
    damaged.fill(0xff, 10);
    await writeFile(packed, damaged);
    expect(
      await decompressFile(packed, join(directory, "d"), 0, 2_000_000).then(
        () => "read",
        () => "refused",
      ),
    ).toBe("refused");
  });
});
