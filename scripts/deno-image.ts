/**
 * Builds the image of the program on Deno from `appliance/Containerfile.deno`: Deno, the sources and their packages. It
 * writes it to `dist/ostiary-deno-image.tar` for `docker load` and `podman load`. It needs buildah, whose chroot
 * isolation also runs Deno once, to compile the sources.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { projectRoot } from "./built-binary.ts";
import { ownArchitecture } from "./build-targets.ts";
import { containerEnvironment } from "./container-environment.ts";
import { denoBinary, writeDenoProgram } from "./deno-program.ts";
import { copyrightOfLibraries, writeRootArchive } from "./root-archive.ts";

const user = 65532;

export async function buildDenoImage(): Promise<void> {
  if (Bun.which("buildah") === null)
    throw new Error("the image of Deno needs buildah: install it (Debian: apt-get install buildah)");
  const name = `ostiary:${packageJson.version}-deno`;
  const archive = join("dist", "ostiary-deno-image.tar");
  const work = mkdtempSync(join(tmpdir(), "ostiary-deno-image-"));
  try {
    const [context, program] = [join(work, "context"), join(work, "program")];
    await writeDenoProgram(program);
    mkdirSync(context);
    cpSync(join(projectRoot, "appliance", "Containerfile.deno"), join(context, "Containerfile"));
    await writeRootArchive(join(context, "rootfs.tar"), {
      programs: { "/usr/bin/deno": denoBinary() },
      trees: { "/opt/ostiary": program },
      files: {
        "/etc/passwd": `ostiary:x:${user}:${user}:ostiary:/data:/sbin/nologin\n`,
        "/etc/group": `ostiary:x:${user}:\n`,
        "/etc/nsswitch.conf": "hosts: files dns\n",
        ...copyrightOfLibraries(ownArchitecture),
      },
      folders: { "/data": user },
    });
    const env = containerEnvironment(work);
    const { stdout } = await $`git -C ${projectRoot} rev-parse HEAD`.nothrow().quiet();
    const versions = ["--build-arg", `VERSION=${packageJson.version}`, "--build-arg", `REVISION=${stdout}`.trim()];
    await $`buildah build --isolation chroot ${ownLimits()} --format docker --layers=false ${versions} -t ${name} ${context}`
      .env(env)
      .quiet();
    await $`buildah tag ${name} ostiary:deno`.env(env).quiet();
    rmSync(join(projectRoot, archive), { force: true });
    await $`buildah push ${name} ${`docker-archive:${join(projectRoot, archive)}:${name}`}`.env(env).quiet();
  } catch (error) {
    throw error instanceof $.ShellError ? new Error(error.stderr.toString(), { cause: error }) : error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`image    ${name} (also ostiary:deno)\narchive  ${archive}: docker load -i ${archive}`);
}

/** For `RUN`, buildah sets limits of its own otherwise, and only the superuser of a machine may raise a limit. */
function ownLimits(): string[] {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const names = { nofile: "open files", nproc: "processes" };
  return Object.entries(names).flatMap(([name, title]) => {
    const most = new RegExp(`^Max ${title} +\\S+ +(\\d+)`, "m").exec(limits)?.[1];
    return most === undefined ? [] : ["--ulimit", `${name}=${most}:${most}`];
  });
}
