/**
 * Programs for other processors, on emulated ones: that for arm64 with the C library of its image, and that for x64
 * without AVX2.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { buildImageArchive, buildImageIndex } from "../../scripts/image.ts";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { binaryFor, builtBinary, projectRoot, projectVersion } from "../../scripts/built-binary.ts";
import { buildBinary } from "../../scripts/build-binary.ts";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { buildPackages, type PackagedFiles } from "../../scripts/package.ts";
import { emulatorOf, foreignRoot } from "../../scripts/root-archive.ts";
import { builtPackages } from "./built-packages.ts";
import { policy } from "./debian-machine.ts";
import { withDirectory } from "../replication/cluster.ts";
import { programPath } from "../e2e/program.ts";

const foreign = ownArchitecture === "amd64" ? "arm64" : "amd64";
const emulatedWithinMs = 240_000;

test(
  "the first build for another target says that it needs a network",
  () =>
    withDirectory(async (folder) => {
      const build = [join(projectRoot, "scripts", "build"), "windows-x64"];
      const child = Bun.spawn([programPath("unshare"), "--net", ...build], {
        env: { ...process.env, OSTIARY_PACKAGES: "installed", BUN_INSTALL_CACHE_DIR: folder },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [status, errors] = await Promise.all([child.exited, child.stderr.text()]);
      expect(errors).toEndWith("\nThe first build for a target needs a network\n");
      expect(status).toBe(1);
    }),
  emulatedWithinMs,
);

describe(`on an emulated ${foreign}`, () => {
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
        const emulator = [emulatorOf(foreign), "-L", root];
        const program = join(root, "usr/bin/ostiary");
        const said = await $`${emulator} ${program} version --json`.json();
        expect(said).toMatchObject({ version: projectVersion() });
        await expectDecisions(emulator, program, folder);
      }),
    2 * emulatedWithinMs,
  );

  test(
    "the package and the bundle have the same files as those of this machine, and the program inside decides",
    () =>
      withDirectory(async (folder) => {
        const common = { withBundle: true, isFast: true };
        const [own, other] = [
          await builtPackages(),
          await buildPackages({ ...common, architecture: foreign, output: folder }),
        ];
        const filesOf = async ({ debianPackage, bundle = "" }: PackagedFiles, architecture: string) => {
          const sameName = (text: string): string[] =>
            text
              .trim()
              .split("\n")
              .map((path) => path.replaceAll(architecture, "ARCHITECTURE"))
              .toSorted();
          const inPackage = await $`dpkg-deb --fsys-tarfile ${debianPackage} | tar -t`.text();
          return [sameName(inPackage), sameName(await $`tar -tzf ${bundle}`.text())];
        };
        expect(await filesOf(other, foreign)).toEqual(await filesOf(own, ownArchitecture));
        const field = await $`dpkg-deb --field ${other.debianPackage} Architecture`.text();
        expect(field.trim()).toBe(foreign);
        const unpacked = join(folder, "unpacked");
        mkdirSync(unpacked);
        await $`tar --strip-components=1 -xzf ${other.bundle ?? ""} -C ${unpacked}`.quiet();
        await $`sha256sum --check --quiet SHA256SUMS`.cwd(unpacked);
        expect((await Bun.file(join(unpacked, "ARCHITECTURE")).text()).trim()).toBe(foreign);
        await $`dpkg-deb --extract ${other.debianPackage} ${join(folder, "root")}`;
        const [packaged, bundled] = [join(folder, "root/usr/bin/ostiary"), join(unpacked, "ostiary")];
        expect((await $`cmp ${packaged} ${bundled}`.nothrow()).exitCode).toBe(0);

        await expectDecisions([emulatorOf(foreign), "-L", foreignRoot(foreign)], packaged, folder);
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

test.skipIf(process.arch !== "x64")(
  "the program for x64 without AVX2 decides on a processor without it",
  () =>
    withDirectory(async (folder) => {
      const program = join(folder, "ostiary");
      await buildBinary({ output: program, target: "linux-x64-baseline" });
      await expectDecisions([programPath("qemu-x86_64"), "-cpu", "Nehalem"], program, folder);
    }),
  2 * emulatedWithinMs,
);

/**
 * Runs a node of the program, and asks it over HTTP. A node of this machine's program has written its data before: the
 * policy is compiled in a worker process, which the kernel would have to start without the emulator.
 */
async function expectDecisions(through: readonly string[], binary: string, directory: string): Promise<void> {
  const adminKey = newAdminKey();
  const node = {
    role: "primary",
    name: "primary",
    port: await freePort(),
    directory: join(directory, "data"),
    environment: { OSTIARY_ADMIN_KEY: adminKey, OSTIARY_NODE_KEY: randomHex(32) },
  } as const;
  const native = new NodeProcess({ ...node, binary: await builtBinary() });
  const post = async (path: string, body: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${adminKey}` };
    const response = await fetch(`${native.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  const [ann, doc] = [
    { type: "User", id: "ann" },
    { type: "Doc", id: "a" },
  ];
  try {
    await native.start();
    await post("/api/policy", { src: policy });
    await post("/api/facts", { predicate: "has_role", args: [ann, { type: "String", id: "reader" }, doc] });
  } finally {
    await native.stop();
  }

  const place = { through, listen: "127.0.0.1", address: "127.0.0.1" };
  const emulated = new NodeProcess({ ...node, binary, place });
  try {
    await emulated.start(undefined, emulatedWithinMs);
    const ask = (actor_id: string) =>
      post("/api/authorize", {
        ...{ actor_type: "User", actor_id, action: "read", resource_type: "Doc", resource_id: "a" },
        context_facts: [],
      });
    expect(await ask("ann")).toMatchObject({ allowed: true });
    expect(await ask("bob")).toMatchObject({ allowed: false });
  } finally {
    await emulated.stop();
  }
}
