/**
 * Builds the OCI image from `appliance/Containerfile` and writes it to `dist/` as two archives: `ostiary-image.tar` for
 * `docker load` and `podman load`, `ostiary-image-oci.tar` for registries and other tools. It needs no base image and
 * no network: the image has only the binary and the files of the C library that it is linked against, from this
 * machine.
 *
 * It uses buildah if that is installed (without a daemon and with chroot isolation, so it works inside a container as
 * well), otherwise Docker.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { cpSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { builtBinary, projectRoot } from "./built-binary.ts";
import { containerEnvironment } from "./container-environment.ts";
import { buildDenoImage } from "./deno-image.ts";
import { writeRootArchive } from "./root-archive.ts";

const user = 65532;
const name = `ostiary:${packageJson.version}`;
const dockerArchive = join(projectRoot, "dist", "ostiary-image.tar");
const ociArchive = join(projectRoot, "dist", "ostiary-image-oci.tar");

async function main(): Promise<void> {
  const binary = await builtBinary();
  const work = mkdtempSync(join(tmpdir(), "ostiary-image-"));
  try {
    await fillContext(join(work, "context"), binary);
    rmSync(dockerArchive, { force: true });
    rmSync(ociArchive, { force: true });
    if (Bun.which("buildah") !== null) await buildWithBuildah(work);
    else if (await dockerAnswers()) await buildWithDocker(work);
    else
      throw new Error("neither buildah nor a running Docker was found: install one (Debian: apt-get install buildah)");
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(summary());
}

async function fillContext(context: string, binary: string): Promise<void> {
  mkdirSync(context, { recursive: true });
  cpSync(join(projectRoot, "appliance", "Containerfile"), join(context, "Containerfile"));
  await writeRootArchive(join(context, "rootfs.tar"), {
    programs: { "/usr/bin/ostiary": binary },
    files: {
      "/etc/passwd": `ostiary:x:${user}:${user}:ostiary:/data:/sbin/nologin\n`,
      "/etc/group": `ostiary:x:${user}:\n`,
      "/etc/nsswitch.conf": "hosts: files dns\n",
    },
    folders: { "/data": user },
  });
}

async function buildWithBuildah(work: string): Promise<void> {
  const env = containerEnvironment(work);
  // The docker format, because the OCI format has no health check.
  await $`buildah build --isolation chroot --format docker --layers=false ${timestamp()} ${buildArguments()} -t ${name} ${join(work, "context")}`
    .env(env)
    .quiet();
  await $`buildah tag ${name} ostiary:latest`.env(env).quiet();
  await $`buildah push ${name} ${`docker-archive:${dockerArchive}:${name}`}`.env(env).quiet();
  await $`buildah push ${name} ${`oci-archive:${ociArchive}:${packageJson.version}`}`.env(env).quiet();
}

/**
 * With SOURCE_DATE_EPOCH the layers are reproducible. The archives are not: a configuration in the docker format
 * contains the id of the build container.
 */
function timestamp(): string[] {
  const seconds = process.env["SOURCE_DATE_EPOCH"];
  return seconds === undefined ? [] : ["--timestamp", seconds];
}

/** Docker's own `save` writes one archive that is in both formats. */
async function buildWithDocker(work: string): Promise<void> {
  const context = join(work, "context");
  await $`docker build ${buildArguments()} -t ${name} -t ostiary:latest -f ${join(context, "Containerfile")} ${context}`.quiet();
  await $`docker save -o ${dockerArchive} ${name}`.quiet();
  cpSync(dockerArchive, ociArchive);
}

const dockerAnswers = async (): Promise<boolean> =>
  Bun.which("docker") !== null && (await $`docker info`.quiet().nothrow()).exitCode === 0;

function buildArguments(): string[] {
  const head = Bun.spawnSync(["git", "-C", projectRoot, "rev-parse", "HEAD"]);
  const revision = head.success ? head.stdout.toString().trim() : "unknown";
  return ["--build-arg", `VERSION=${packageJson.version}`, "--build-arg", `REVISION=${revision}`];
}

const megabytes = (path: string): string => `${(statSync(path).size / 1e6).toFixed(0)} MB`;

const summary = (): string => `
image    ${name} (also ostiary:latest)
archive  dist/ostiary-image.tar (${megabytes(dockerArchive)}): docker load -i dist/ostiary-image.tar
archive  dist/ostiary-image-oci.tar (${megabytes(ociArchive)})

a primary and an edge, each with its data in a volume and a read-only root (a fallback is started like an edge):
  docker network create ostiary
  docker run -d --name primary --network ostiary --read-only -v primary:/data -p 127.0.0.1:8080:8080 \\
    -e OSTIARY_NODE_KEY -e OSTIARY_ADMIN_KEY ${name} serve --role primary
  docker run -d --name edge --network ostiary --read-only -v edge:/data -p 127.0.0.1:8081:8080 \\
    -e OSTIARY_NODE_KEY -e OSTIARY_PRIMARY=http://primary:8080 ${name} serve --role edge
with Mosquitto as the broker: compose/cluster.yaml`;

const usage = `scripts/image [--runtime deno]

  --runtime deno   Deno, the sources and their packages instead of the binary
  --help           show this`;

const parameters = process.argv.slice(2).join(" ");
if (parameters === "") await main();
else if (parameters === "--runtime deno") await buildDenoImage();
else {
  console.log(usage);
  process.exit(parameters === "--help" ? 0 : 2);
}
