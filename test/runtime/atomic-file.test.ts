/** Atomic replacement of files: content, permissions and leftovers. */
import { expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installFile, writeFileAtomically } from "../../src/runtime/atomic-file.ts";
import { withDirectory } from "../replication/cluster.ts";

const nobody = 65_534;

test.each([true, false])("a file is replaced, and only its owner may open it: durable %p", (isDurable) =>
  withDirectory((directory) => {
    const path = join(directory, "position");
    writeFileSync(path, "a longer text than the new one");
    // A process that was killed during a write left this.
    writeFileSync(`${path}.new`, "half of a longer text", { mode: 0o600 });
    writeFileAtomically(path, "new", isDurable);
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory)).toEqual(["position"]);
    return Promise.resolve();
  }),
);

test("a file is installed in a directory that its user may not read", () =>
  withDirectory((directory) => {
    const dropBox = join(directory, "drop-box");
    mkdirSync(dropBox);
    const [source, target] = [join(dropBox, "backup.unchecked"), join(dropBox, "backup")];
    writeFileSync(source, "content");
    asUnprivilegedUser([directory, dropBox, source], () => {
      chmodSync(dropBox, 0o300);
      installFile(source, target);
      chmodSync(dropBox, 0o700);
    });
    expect(readdirSync(dropBox)).toEqual(["backup"]);
    expect(readFileSync(target, "utf8")).toBe("content");
    return Promise.resolve();
  }));

/** Permissions do not apply to root, so root becomes the owner of the paths for the time of `body`. */
function asUnprivilegedUser(paths: readonly string[], body: () => void): void {
  if (process.getuid?.() !== 0) return body();
  for (const path of paths) chownSync(path, nobody, nobody);
  process.seteuid?.(nobody);
  try {
    body();
  } finally {
    process.seteuid?.(0);
  }
}
