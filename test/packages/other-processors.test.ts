/**
 * Programs for other processors, on emulated ones: that for arm64 with the C library of its image, and that for x64
 * without AVX2.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildImageArchive, buildImageIndex } from "../../scripts/image.ts";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { binaryFor, projectVersion } from "../../scripts/built-binary.ts";
import { buildBinary } from "../../scripts/build-binary.ts";
import { emulatorOf, missingLibraries } from "../../scripts/root-archive.ts";
import { readUntil } from "../cli/read-until.ts";
import { policy } from "./debian-machine.ts";
import { withDirectory } from "../replication/cluster.ts";
import { findProgram } from "../e2e/program.ts";

const foreign = ownArchitecture === "amd64" ? "arm64" : "amd64";
const missing = missingLibraries(foreign) ?? (findProgram("buildah") === null ? "buildah is not installed" : undefined);
if (missing !== undefined) console.log(`the program for ${foreign} is not tried: ${missing}`);

const emulatedWithinMs = 240_000;

describe.skipIf(missing !== undefined)(`on an emulated ${foreign}`, () => {
  test(
    "the image has what its program needs, and it decides",
    () =>
      withDirectory(async (folder) => {
        const archive = await buildImageArchive(foreign, await binaryFor(foreign));
        const root = join(folder, "root");
        mkdirSync(root);
        await $`tar -xf ${archive} -C ${folder}`.quiet();
        const [manifest] = (await Bun.file(join(folder, "manifest.json")).json()) as {
          Config: string;
          Layers: string[];
        }[];
        for (const layer of manifest?.Layers ?? []) await $`tar -xf ${join(folder, layer)} -C ${root}`.quiet();
        const config = (await Bun.file(join(folder, manifest?.Config ?? "")).json()) as {
          readonly architecture: string;
        };
        expect(config.architecture).toBe(foreign);
        const program = [emulatorOf(foreign), "-L", root, join(root, "usr/bin/ostiary")];
        const said = await $`${program} version --json`.json();
        expect(said).toMatchObject({ version: projectVersion() });
        await expectDecision(program, folder);
      }),
    2 * emulatedWithinMs,
  );

  test(
    "the index of the images has both processors",
    () =>
      withDirectory(async (folder) => {
        await buildImageArchive(ownArchitecture, await binaryFor(ownArchitecture));
        await $`tar -xf ${await buildImageIndex()} -C ${folder}`.quiet();
        const blob = async (digest: string): Promise<Index> =>
          (await Bun.file(join(folder, "blobs", digest.replace(":", "/"))).json()) as Index;
        const [list] = ((await Bun.file(join(folder, "index.json")).json()) as Index).manifests;
        const { manifests } = await blob(list?.digest ?? "");
        expect(manifests.map(({ platform }) => platform?.architecture).toSorted()).toEqual(["amd64", "arm64"]);
      }),
    480_000,
  );
});

interface Index {
  readonly manifests: readonly { readonly digest: string; readonly platform?: { readonly architecture: string } }[];
}

const emulator = findProgram("qemu-x86_64");
if (emulator === null) console.log("the program for x64 without AVX2 is not tried: qemu-x86_64 is not installed");

test.skipIf(process.arch !== "x64" || emulator === null)(
  "the program for x64 without AVX2 decides on a processor without it",
  () =>
    withDirectory(async (folder) => {
      const program = join(folder, "ostiary");
      await buildBinary({ output: program, target: "linux-x64-baseline" });
      await expectDecision([emulator ?? "", "-cpu", "Nehalem", program], folder);
    }),
  2 * emulatedWithinMs,
);

/** Runs a development node of the program, and asks it over HTTP. */
async function expectDecision(program: readonly string[], directory: string): Promise<void> {
  // Without tests of its own: those have a limit of time.
  const path = join(directory, "policy.polar");
  writeFileSync(path, policy);
  const node = Bun.spawn([...program, "dev", path, "--json", "--data", join(directory, "data")], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", OSO_PORT: "0" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    timeout: emulatedWithinMs,
  });
  try {
    const [line] = await readUntil(node.stdout, /^\{.*\}$/m);
    const { url, key } = JSON.parse(line) as { readonly url: string; readonly key: string };
    const post = async (path: string, body: object): Promise<unknown> => {
      const headers = { authorization: `Bearer ${key}` };
      const response = await fetch(`${url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
      return response.json();
    };
    const [ann, doc] = [
      { type: "User", id: "ann" },
      { type: "Doc", id: "a" },
    ];
    await post("/api/facts", { predicate: "has_role", args: [ann, { type: "String", id: "reader" }, doc] });
    const ask = (actor_id: string) =>
      post("/api/authorize", {
        ...{ actor_type: "User", actor_id, action: "read", resource_type: "Doc", resource_id: "a" },
        context_facts: [],
      });
    expect(await ask("ann")).toMatchObject({ allowed: true });
    expect(await ask("bob")).toMatchObject({ allowed: false });
  } finally {
    node.kill();
    await node.exited;
  }
}
