/**
 * Makes a release: a commit with the version and the recorded files of this version (`test/releases`), programs and an
 * image built from that commit, their checksums, release notes, and an annotated tag. Nothing is pushed or uploaded. If
 * a step fails, the commit is undone.
 */
import * as Bun from "bun";
import { createHash } from "node:crypto";
import { cpSync, createReadStream, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildBinary } from "./build-binary.ts";
import { projectRoot as root } from "./built-binary.ts";
import { filesOf, git, notesOf, problemsOf, setVersion, undoRelease } from "./release-checks.ts";

const usage = `scripts/release <version> [--no-image] [--dry-run]

  --no-image   leave the container image out; without this it needs buildah and root, or Docker
  --dry-run    only check whether this version can be released, and say what would be done
  --help       show this

It leaves in dist/release-<version>/ (not part of the repository):
  ostiary-<version>-linux-x64, ostiary-<version>-linux-arm64   the program, for Linux with the GNU C library 2.17 or newer
  ostiary-<version>-image-linux-<arch>.tar, …-image-oci-….tar  the image, for the processor of this machine
  LICENSE, RELEASE-NOTES.md, SHA256SUMS                        the notes are the section of CHANGELOG.md
and in the repository a commit "release: <version>" and an annotated tag <version>. Push both: git push origin main <version>
If a step fails, the commit is undone. After an interruption undo it yourself, if there is one without a tag: git reset --keep HEAD~1

The same commit gives the same programs with the same Bun: \`scripts/build linux-x64\` and \`scripts/build linux-arm64\` in a clone at the tag make them
again. The layers of the image are the same on the same system, since the C library is taken from it. Its archives are not: buildah notes the
container in them in which it built.`;

/** Only Linux, because this machine cannot test others. */
const targets = ["linux-x64", "linux-arm64"] as const;
const machine = `linux-${process.arch}`;

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
  const problems = [...problemsOf(root, version), ...(plan.withImage ? imageProblems() : [])];
  if (problems.length > 0) {
    console.error(`${version} can't be released:\n${problems.map((problem) => `- ${problem}`).join("\n")}`);
    return 1;
  }
  if (values["dry-run"]) {
    console.log(`${version} can be released from ${git(root, "rev-parse", "--short=12", "HEAD")}; nothing was done\n`);
    console.log(notesOf(root, version));
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

function imageProblems(): string[] {
  const without = "or omit the image with --no-image";
  if (Bun.which("buildah") !== null)
    return process.getuid?.() === 0 ? [] : [`buildah needs root to build the image: run this as root, ${without}`];
  if (Bun.which("docker") !== null) return [];
  return [`the image needs buildah or Docker: install one (Debian: apt-get install buildah), ${without}`];
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
    for (const target of targets) await step(`build for ${target}`, () => buildFor(plan, target));
    if (plan.withImage) await step("build the image", () => buildImage(plan));
    await step("write notes and checksums", () => describe(plan));
    await step("tag", async () => {
      git(
        root,
        "tag",
        "--annotate",
        version,
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

async function buildFor({ version, output }: Plan, target: string): Promise<void> {
  const path = join(output, `ostiary-${version}-${target}`);
  await buildBinary({ output: path, target });
  if (target !== machine) return;
  const said = Bun.spawnSync([path, "version", "--json"]).stdout.toString();
  const built = JSON.parse(said) as { readonly version: string; readonly commit: string };
  const commit = git(root, "rev-parse", "HEAD").slice(0, 12);
  if (built.version !== version || built.commit !== commit)
    throw new Error(`the program says ${said.trim()} of itself, it should be ${version} at ${commit}`);
  // The image is built from there.
  cpSync(path, join(root, "dist", "ostiary"));
}

async function buildImage({ version, output }: Plan): Promise<void> {
  const seconds = git(root, "log", "-1", "--format=%ct");
  await run("scripts/image.ts", { SOURCE_DATE_EPOCH: seconds });
  for (const form of ["image", "image-oci"]) {
    cpSync(join(root, "dist", `ostiary-${form}.tar`), join(output, `ostiary-${version}-${form}-${machine}.tar`));
  }
}

async function describe({ version, output }: Plan): Promise<void> {
  cpSync(join(root, "LICENSE"), join(output, "LICENSE"));
  writeFileSync(join(output, "RELEASE-NOTES.md"), `# Ostiary ${version}\n\n${notesOf(root, version)}\n`);
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
async function run(script: string, environment: Readonly<Record<string, string>> = {}): Promise<void> {
  const child = Bun.spawn([process.execPath, join(root, script)], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (status !== 0) throw new Error(`${script} ended with status ${status}:\n${output}${errors}`);
}
