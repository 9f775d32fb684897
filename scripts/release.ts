/**
 * Makes a release: a commit with the version and the recorded files of this version (`test/releases`), programs, packages
 * and images built from that commit, their checksums, release notes, an annotated tag, and a commit that names the
 * release commit for later tests. Nothing is pushed or uploaded. If
 * a step fails, the commits are undone.
 */
import * as Bun from "bun";
import { createHash } from "node:crypto";
import { cpSync, createReadStream, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildBinary } from "./build-binary.ts";
import {
  architectures,
  buildTargets,
  ownArchitecture,
  targetOf,
  type Architecture,
  type BuildTarget,
} from "./build-targets.ts";
import { binaryPath, projectRoot as root } from "./built-binary.ts";
import { buildImageIndex, imagePath } from "./image.ts";
import { buildPackages, sbomOfFile } from "./package.ts";
import { missingLibraries } from "./root-archive.ts";
import {
  filesOf,
  git,
  nameCommit,
  nextRelease,
  notesOf,
  releaseNotes,
  problemsOf,
  setVersion,
  undoRelease,
} from "./release-checks.ts";

const usage = `scripts/release <version> [--no-image] [--dry-run]

  --no-image   leave out the container image and the offline bundles, which contain it; without this it needs buildah and root
  --dry-run    only check whether this version can be released, and say what would be done
  --help       show this

It leaves in dist/release-<version>/ (not part of the repository):
  ostiary-<version>-<target>                    the program, for each target that scripts/build --help names
  ostiary-<version>-<target>.cdx.json           what is inside: its bill of materials, in the format CycloneDX
  ostiary_<version>_<arch>.deb                  the Debian package, for amd64 and arm64
  ostiary-<version>-image-<arch>.tar            the image for docker load, for amd64 and arm64
  ostiary-<version>-image-index.tar             an OCI archive with both images, for registries
  ostiary-<version>-offline-<arch>.tar.gz       the offline bundle
  ostiary-<version>.tgz                         the npm package with redundantFetch and localSql, for applications
  LICENSE, LICENSES.txt                         the license, and those of everything inside
  RELEASE-NOTES.md, SHA256SUMS                  the notes are the section [Unreleased] of CHANGELOG.md, which gets the version and date
and in the repository a commit "release: <version>" with an annotated tag <version>, and one that names it in test/releases/releases.json
for later tests. Push all: git push origin main <version>
If a step fails, the commits are undone. After an interruption undo them yourself, if there are some without a tag: git reset --keep HEAD~1

The same commit gives the same files with the same Bun, dpkg, buildah and C library, which the image contains: \`scripts/build <target>\`,
\`scripts/image\` and \`scripts/package\` in a clone at the tag make them again.`;

const machine = targetOf[ownArchitecture];

interface Plan {
  readonly version: string;
  readonly withImage: boolean;
  readonly output: string;
}

process.exitCode = await main();

async function main(): Promise<number> {
  const parsed = parse();
  if (parsed === undefined) return 2;
  const { values, positionals } = parsed;
  const [version, ...more] = positionals;
  if (values.help || version === undefined || more.length > 0) {
    (values.help ? console.log : console.error)(usage);
    return values.help ? 0 : 2;
  }
  const plan: Plan = {
    version,
    withImage: !values["no-image"],
    output: join(root, "dist", `release-${version}`),
  };
  const problems = [...problemsOf(root, version), ...packageProblems(), ...(plan.withImage ? imageProblems() : [])];
  if (problems.length > 0) {
    console.error(`${version} can't be released:\n${problems.map((problem) => `- ${problem}`).join("\n")}`);
    return 1;
  }
  if (values["dry-run"]) {
    console.log(`${version} can be released from ${git(root, "rev-parse", "--short=12", "HEAD")}; nothing was done\n`);
    console.log(notesOf(root, version) ?? notesOf(root, nextRelease));
    return 0;
  }
  try {
    await release(plan);
  } catch (error) {
    console.error(`\n${(error as Error).message}`);
    return 1;
  }
  console.log(`\ndist/release-${version}: ${readdirSync(plan.output).join(", ")}`);
  console.log(`push it with: git push origin main ${version}`);
  return 0;
}

/** Undefined after the message about an unknown option. */
function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        "no-image": { type: "boolean", default: false },
        "dry-run": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return undefined;
  }
}

function packageProblems(): string[] {
  return Bun.which("dpkg-deb") === null ? ["the Debian packages need dpkg-deb: make the release on Debian"] : [];
}

function imageProblems(): string[] {
  const without = "or omit the images with --no-image";
  const missing = architectures.flatMap((architecture) => missingLibraries(architecture) ?? []);
  if (Bun.which("buildah") === null)
    missing.push("the images need buildah: install it (Debian: apt-get install buildah)");
  else if (process.getuid?.() !== 0) missing.push("buildah needs root to build the images: run this as root");
  return missing.map((problem) => `${problem}, ${without}`);
}

async function release(plan: Plan): Promise<void> {
  const { version, output } = plan;
  const before = git(root, "rev-parse", "HEAD");
  try {
    await step("set the version", async () => setVersion(root, version));
    await step("build the program and record its files", async () => {
      await run("scripts/build.ts");
      await run("test/releases/record.ts");
    });
    await step("commit", async () => {
      git(root, "add", "--", ...filesOf(version));
      git(root, "commit", "--quiet", "--message", `release: ${version}`);
    });
    rmSync(output, { recursive: true, force: true });
    mkdirSync(output, { recursive: true });
    for (const target of buildTargets) await step(`build for ${target.name}`, () => buildFor(plan, target));
    for (const architecture of architectures)
      await step(`build packages for ${architecture}`, () => packageFor(plan, architecture));
    if (plan.withImage) await step("build the index of the images", () => buildIndex(plan));
    await step("build the npm package", () => packClient(plan));
    await step("write notes and checksums", () => describe(plan));
    await step("name the commit and tag it", async () => {
      const { commit } = nameCommit(root, version);
      git(
        root,
        "tag",
        "--annotate",
        version,
        commit,
        "--message",
        `Ostiary ${version}\n\n${notesOf(root, version)}`,
        "--cleanup=verbatim",
      );
    });
  } catch (error) {
    undoRelease(root, version, before);
    throw new Error(`${version} was not released, and all changes are undone: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function buildFor({ version, output }: Plan, { name, suffix }: BuildTarget): Promise<void> {
  const file = `ostiary-${version}-${name}`;
  const path = join(output, `${file}${suffix}`);
  await buildBinary({ output: path, target: name });
  writeFileSync(join(output, `${file}.cdx.json`), sbomOfFile(path, `${file}${suffix}`));
  if (name !== machine) return;
  const said = Bun.spawnSync([path, "version", "--json"]).stdout.toString();
  const built = JSON.parse(said) as { readonly version: string; readonly commit: string };
  const commit = git(root, "rev-parse", "HEAD").slice(0, 12);
  if (built.version !== version || built.commit !== commit)
    throw new Error(`the program says ${said.trim()} of itself, it should be ${version} at ${commit}`);
  writeFileSync(join(output, "LICENSES.txt"), Bun.spawnSync([path, "licenses"]).stdout);
  // Packages and images are built with its help.
  cpSync(path, binaryPath);
}

async function packageFor({ version, output, withImage }: Plan, architecture: Architecture): Promise<void> {
  const binary = join(output, `ostiary-${version}-${targetOf[architecture]}`);
  await buildPackages({ architecture, binary, output, withBundle: withImage });
  if (withImage) cpSync(imagePath(architecture), join(output, `ostiary-${version}-image-${architecture}.tar`));
}

async function buildIndex({ version, output }: Plan): Promise<void> {
  cpSync(await buildImageIndex(), join(output, `ostiary-${version}-image-index.tar`));
}

async function packClient({ output }: Plan): Promise<void> {
  const packed = Bun.spawnSync([process.execPath, "pm", "pack", "--destination", output, "--quiet"], { cwd: root });
  if (!packed.success) throw new Error(`bun pm pack failed:\n${packed.stderr.toString()}`);
}

async function describe({ version, output }: Plan): Promise<void> {
  cpSync(join(root, "LICENSE"), join(output, "LICENSE"));
  writeFileSync(join(output, "RELEASE-NOTES.md"), releaseNotes(version, notesOf(root, version) ?? ""));
  const lines: string[] = [];
  for (const name of readdirSync(output).toSorted()) lines.push(`${await sha256(join(output, name))}  ${name}\n`);
  writeFileSync(join(output, "SHA256SUMS"), lines.join(""));
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path)) hash.update(bytes as Uint8Array);
  return hash.digest("hex");
}

async function step(name: string, body: () => Promise<void>): Promise<void> {
  const begin = performance.now();
  process.stdout.write(`${name} … `);
  await body();
  process.stdout.write(`${((performance.now() - begin) / 1000).toFixed(1)} s\n`);
}

/** Runs a script of this project, and shows its output if it fails. */
async function run(script: string): Promise<void> {
  const child = Bun.spawn([process.execPath, join(root, script)], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (status !== 0) throw new Error(`${script} ended with status ${status}:\n${output}${errors}`);
}
