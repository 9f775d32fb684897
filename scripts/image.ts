/**
 * Builds the OCI image from `appliance/Containerfile` and writes it to `dist/` as two archives: `ostiary-image.tar` for
 * `docker load` and `podman load`, `ostiary-image-oci.tar` for registries and other tools. It needs no base image and
 * no network: the image has only the binary and the files of the C library that it is linked against, from this
 * machine. For the other processor the C library is that of Debian's cross compilers.
 *
 * It uses buildah if that is installed (without a daemon and with chroot isolation, so it works inside a container as
 * well), otherwise Docker.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { cpSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { type Architecture, architectures, ownArchitecture } from "./build-targets.ts";
import { binaryFor, projectRoot, projectVersion, requirePresentBinary } from "./built-binary.ts";
import { containerEnvironment } from "./container-environment.ts";
import { buildDenoImage } from "./deno-image.ts";
import { makeReproducible } from "./packaging/image-archive.ts";
import { copyrightOfLibraries, librariesOf, writeRootArchive } from "./root-archive.ts";

const usage = `scripts/image [--runtime deno] [--arch NAME] [--index]

  --runtime deno   Deno, the sources and their packages instead of the binary
  --arch NAME      ${architectures.join(" or ")}: the processor (this machine's: ${ownArchitecture}); the other one needs Debian's qemu-user
                   and libc6-${other(ownArchitecture)}-cross
  --index          build the images for both, and dist/ostiary-image-index.tar: an OCI archive with both, for registries; needs buildah
  --help           show this`;

const user = 65532;
const dist = (file: string): string => join(projectRoot, "dist", file);

interface Archives {
  readonly docker: string;
  readonly oci: string;
}

function archivesOf(architecture: Architecture): Archives {
  const suffix = architecture === ownArchitecture ? "" : `-${architecture}`;
  return { docker: dist(`ostiary-image${suffix}.tar`), oci: dist(`ostiary-image-oci${suffix}.tar`) };
}

/** Where the image for `docker load` is after it was built. */
export const imagePath = (architecture: Architecture): string => archivesOf(architecture).docker;

/** The name of an image on this machine. The other processor has another one, so that `ostiary:latest` runs here. */
const imageName = (architecture: Architecture): string =>
  architecture === ownArchitecture ? releaseName() : `${releaseName()}-${architecture}`;

/** Its name in the archive for `docker load`. */
const releaseName = (): string => `ostiary:${projectVersion()}`;

/** Throws if this machine has no program that builds images. */
export async function requireImageBuilder(): Promise<void> {
  if (Bun.which("buildah") === null && !(await dockerAnswers()))
    throw new Error("neither buildah nor a running Docker was found: install one (Debian: apt-get install buildah)");
}

/** Builds the image of one processor from its program. Returns the path of the archive for `docker load`. */
export async function buildImageArchive(architecture: Architecture, binary: string): Promise<string> {
  const archives = archivesOf(architecture);
  await inWorkFolder(async (work) => {
    await fillContext(join(work, "context"), architecture, binary);
    for (const path of [archives.docker, archives.oci]) rmSync(path, { force: true });
    await requireImageBuilder();
    if (Bun.which("buildah") !== null) await buildWithBuildah(work, architecture, archives);
    else await buildWithDocker(work, architecture, archives);
  });
  return archives.docker;
}

/** Writes an OCI archive with the images of both processors, which were built before. Returns its path. */
export async function buildImageIndex(): Promise<string> {
  if (Bun.which("buildah") === null) throw new Error("the index of both images needs buildah");
  const path = dist("ostiary-image-index.tar");
  rmSync(path, { force: true });
  await inWorkFolder(async (work) => {
    const env = containerEnvironment(work);
    const list = `${releaseName()}-index`;
    await $`buildah manifest rm ${list}`.env(env).quiet().nothrow();
    await $`buildah manifest create ${list}`.env(env).quiet();
    for (const architecture of architectures) {
      const { oci } = archivesOf(architecture);
      await $`buildah manifest add --arch ${architecture} --os linux ${list} ${`oci-archive:${oci}`}`.env(env).quiet();
    }
    await $`buildah manifest push --all ${list} ${`oci-archive:${path}:${releaseName()}`}`.env(env).quiet();
    await makeReproducible(path);
    await $`buildah manifest rm ${list}`.env(env).quiet();
  });
  return path;
}

async function inWorkFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), "ostiary-image-"));
  try {
    await body(work);
  } catch (error) {
    throw error instanceof $.ShellError ? new Error(error.stderr.toString(), { cause: error }) : error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function fillContext(context: string, architecture: Architecture, binary: string): Promise<void> {
  mkdirSync(context, { recursive: true });
  const libraries = await librariesOf(architecture, binary);
  cpSync(join(projectRoot, "appliance", "Containerfile"), join(context, "Containerfile"));
  await writeRootArchive(join(context, "rootfs.tar"), {
    programs: { "/usr/bin/ostiary": binary },
    libraries,
    files: {
      "/etc/passwd": `ostiary:x:${user}:${user}:ostiary:/data:/sbin/nologin\n`,
      "/etc/group": `ostiary:x:${user}:\n`,
      "/etc/nsswitch.conf": "hosts: files dns\n",
      ...copyrightOfLibraries(architecture),
    },
    folders: { "/data": user },
  });
}

async function buildWithBuildah(work: string, architecture: Architecture, { docker, oci }: Archives): Promise<void> {
  const env = containerEnvironment(work);
  const image = imageName(architecture);
  // The docker format, because the OCI format has no health check.
  await $`buildah build --isolation chroot --platform ${`linux/${architecture}`} --format docker --layers=false ${timestamp()} ${buildArguments()} -t ${image} ${join(work, "context")}`
    .env(env)
    .quiet();
  if (architecture === ownArchitecture) await $`buildah tag ${image} ostiary:latest`.env(env).quiet();
  await $`buildah push ${image} ${`docker-archive:${docker}:${releaseName()}`}`.env(env).quiet();
  await $`buildah push ${image} ${`oci-archive:${oci}:${releaseName()}`}`.env(env).quiet();
  for (const archive of [docker, oci]) await makeReproducible(archive);
}

/** The image says that it was made when the commit was: the same commit gives the same image. */
function timestamp(): string[] {
  const made = Bun.spawnSync(["git", "-C", projectRoot, "log", "-1", "--format=%ct"]);
  return made.success ? ["--timestamp", made.stdout.toString().trim()] : [];
}

/** Docker's own `save` writes one archive that is in both formats. */
async function buildWithDocker(work: string, architecture: Architecture, { docker, oci }: Archives): Promise<void> {
  const context = join(work, "context");
  const image = imageName(architecture);
  const tags = ["-t", image, ...(architecture === ownArchitecture ? ["-t", "ostiary:latest"] : [])];
  await $`docker build --platform ${`linux/${architecture}`} ${buildArguments()} ${tags} -f ${join(context, "Containerfile")} ${context}`.quiet();
  await $`docker save -o ${docker} ${image}`.quiet();
  cpSync(docker, oci);
}

const dockerAnswers = async (): Promise<boolean> =>
  Bun.which("docker") !== null && (await $`docker info`.quiet().nothrow()).exitCode === 0;

function buildArguments(): string[] {
  const head = Bun.spawnSync(["git", "-C", projectRoot, "rev-parse", "HEAD"]);
  const revision = head.success ? head.stdout.toString().trim() : "unknown";
  return ["--build-arg", `VERSION=${projectVersion()}`, "--build-arg", `REVISION=${revision}`];
}

const megabytes = (path: string): string => `${(statSync(path).size / 1e6).toFixed(0)} MB`;

const summary = ({ docker, oci }: Archives, name = releaseName()): string => `
image    ${name} (also ostiary:latest)
archive  dist/${basename(docker)} (${megabytes(docker)}): docker load -i dist/${basename(docker)}
archive  dist/${basename(oci)} (${megabytes(oci)})

a primary and an edge, each with its data in a volume and a read-only root (a fallback is started like an edge):
  docker network create ostiary
  docker run -d --name primary --network ostiary --read-only -v primary:/data -p 127.0.0.1:8080:8080 \\
    -e OSTIARY_NODE_KEY -e OSTIARY_ADMIN_KEY ${name} serve --role primary
  docker run -d --name edge --network ostiary --read-only -v edge:/data -p 127.0.0.1:8081:8080 \\
    -e OSTIARY_NODE_KEY -e OSTIARY_PRIMARY=http://primary:8080 ${name} serve --role edge
with Mosquitto as the broker: compose/cluster.yaml`;

function other(architecture: Architecture): Architecture {
  return architecture === "amd64" ? "arm64" : "amd64";
}

async function main(): Promise<number> {
  let values;
  try {
    const options = {
      runtime: { type: "string", default: "bun" },
      arch: { type: "string" },
      index: { type: "boolean" },
      help: { type: "boolean" },
    } as const;
    ({ values } = parseArgs({ options }));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  const wanted = values.index === true ? architectures : [values.arch ?? ownArchitecture];
  const known = wanted.flatMap((word) => architectures.find((each) => each === word) ?? []);
  const onDeno = values.runtime === "deno";
  const isPossible = onDeno ? values.arch === undefined && values.index !== true : values.runtime === "bun";
  if (values.help === true || known.length < wanted.length || !isPossible) {
    (values.help === true ? console.log : console.error)(usage);
    return values.help === true ? 0 : 2;
  }
  try {
    if (onDeno) {
      await buildDenoImage();
      return 0;
    }
    await requireImageBuilder();
    await requirePresentBinary();
    for (const architecture of known) {
      await buildImageArchive(architecture, await binaryFor(architecture));
      console.log(summary(archivesOf(architecture)));
    }
    if (values.index === true) console.log(`archive  dist/${basename(await buildImageIndex())}: both`);
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await main();
