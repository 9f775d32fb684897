/**
 * Makes the archives that buildah writes reproducible: the docker format notes the container that built the image, and
 * the OCI format the time at which the archive was written.
 */
import { $ } from "bun";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface DockerConfig {
  container?: string;
  container_config?: object;
  config: { Hostname?: string };
}

interface DockerManifest {
  Config: string;
  RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

/**
 * Replaces the archive by one with the same image. The times of its files are 1970. In the docker format the image also
 * gets the tag `latest`, by which the manual and the compose files name it.
 */
export async function makeReproducible(archive: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-archive-"));
  try {
    await $`tar -xf ${archive} -C ${folder}`.quiet();
    const manifest = join(folder, "manifest.json");
    const names = existsSync(manifest) ? withoutContainer(folder, manifest) : ["oci-layout", "index.json", "blobs"];
    const same = ["--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"];
    await $`tar ${same} --mode=u=rwX,go=rX -cf ${archive}.new -C ${folder} ${names}`.quiet();
    renameSync(`${archive}.new`, archive);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Removes the container from the configuration of the image, which is named after its hash. Returns the files of the
 * archive: those for Docker before 1.10 are left out.
 */
function withoutContainer(folder: string, manifestPath: string): string[] {
  const manifest = JSON.parse(readFileSync(manifestPath, "utf8")) as [DockerManifest];
  const config = JSON.parse(readFileSync(join(folder, manifest[0].Config), "utf8")) as DockerConfig;
  delete config.container;
  delete config.container_config;
  config.config.Hostname = "";
  const text = JSON.stringify(config);
  const name = `${createHash("sha256").update(text).digest("hex")}.json`;
  writeFileSync(join(folder, name), text);
  manifest[0].Config = name;
  // The first one is the name in the archive; the other one has the registry and tag of the image on this machine.
  const [, version = ""] = /:([^:/]+)$/.exec(manifest[0].RepoTags[0] ?? "") ?? [];
  const names = manifest[0].RepoTags.map((tag) => tag.replace(/:[^:/]*$/, ""));
  manifest[0].RepoTags = [version, "latest"].flatMap((tag) => names.map((name) => `${name}:${tag}`));
  writeFileSync(manifestPath, JSON.stringify(manifest));
  return ["manifest.json", name, ...manifest[0].Layers];
}
