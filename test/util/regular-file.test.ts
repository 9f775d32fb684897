/** Small files that others can replace: what is read, and that nothing else blocks or fills the memory. */
import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileProblem } from "../../src/util/reason.ts";
import { readRegularFile, readRegularFileSync } from "../../src/util/regular-file.ts";

const bytesMax = 64 * 1024;

test("only a regular file of at most the given size is read, at a start as in a running node", async () => {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-regular-"));
  const at = (name: string): string => join(directory, name);
  const socket = createServer().listen(at("socket"));
  await once(socket, "listening");
  try {
    for (const version of ["..1", "..2"]) mkdirSync(at(version));
    const full = Buffer.alloc(bytesMax, "\u{fc}");
    writeFileSync(at("..1/file"), full);
    writeFileSync(at("..2/file"), "");
    symlinkSync("..1", at("..data"));
    symlinkSync("..data/file", at("file"));
    symlinkSync("/dev/zero", at("zero"));
    symlinkSync("loop", at("loop"));
    execFileSync("mkfifo", [at("pipe")]);
    writeFileSync(at("huge"), "");
    truncateSync(at("huge"), 2 ** 40);

    const both = async (name: string): Promise<unknown> => {
      const settle = (read: () => unknown): Promise<unknown> =>
        Promise.try(read).then(
          (file) => (file as { bytes: Buffer }).bytes,
          (error: unknown) => fileProblem(error),
        );
      const results = [
        await settle(() => readRegularFile(at(name), bytesMax)),
        await settle(() => readRegularFileSync(at(name), bytesMax)),
      ];
      expect(results[0]).toEqual(results[1]);
      return results[0];
    };
    expect(await both("file")).toEqual(full);
    // Kubernetes replaces the directory of a mounted secret by a rename.
    symlinkSync("..2", at("..new"));
    renameSync(at("..new"), at("..data"));
    expect(await both("file")).toEqual(Buffer.alloc(0));
    for (const name of ["pipe", "zero", "socket"])
      expect([name, await both(name)]).toEqual([name, "it is no regular file"]);
    expect(await both("..1")).toBe("it is a directory");
    expect(await both("loop")).toBe("its symbolic links lead in a circle");
    expect(await both("missing")).toBe("there is no such file");
    expect(await both("huge")).toBe("it is larger than 64 KiB");
    writeFileSync(at("..2/file"), Buffer.alloc(bytesMax + 1));
    expect(await both("file")).toBe("it is larger than 64 KiB");
  } finally {
    socket.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
