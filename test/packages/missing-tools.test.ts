/** The scripts that build packages and images say at once which program of the system is missing. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { withDirectory } from "../replication/cluster.ts";

const builders = "neither buildah nor a running Docker was found: install one (Debian: apt-get install buildah)\n";
const dpkg = "dpkg-deb was not found: build the package on Debian, or install dpkg\n";

test.each([
  ["image.ts", [], [], builders],
  ["package.ts", [], [], dpkg],
  ["package.ts", ["--bundle"], ["dpkg-deb"], builders],
])("scripts/%s %p on a machine with %p", (script, options, programs, message) =>
  withDirectory((folder) => {
    // None of them runs.
    for (const name of programs) symlinkSync(process.execPath, join(folder, name));
    const ran = Bun.spawnSync([process.execPath, join(projectRoot, "scripts", script), ...options], {
      env: { PATH: folder },
    });
    const said = { status: ran.exitCode, output: ran.stdout.toString(), errors: ran.stderr.toString() };
    expect(said).toEqual({ status: 1, output: "", errors: message });
    return Promise.resolve();
  }),
);
