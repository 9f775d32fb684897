/**
 * The programs of the system that tests need. A test file or script needs those that it names, or that a file names which
 * it imports. As root on Debian, missing ones are installed with apt-get. Tests of a program that is still missing fail.
 */
import * as Bun from "bun";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { findProgram } from "../test/e2e/program.ts";
import { projectRoot } from "./built-binary.ts";

interface Tool {
  /** How a file names it: in quotes, alone or at the end of a path. */
  readonly name: string;
  readonly packages: readonly string[];
  /** The paths that exist if it is installed. Default: a program with the name. */
  readonly paths?: readonly string[];
}

const tool = (name: string, ...packages: string[]): Tool => ({
  name,
  packages: packages.length === 0 ? [name] : packages,
});

const tools: readonly Tool[] = [
  tool("bindfs"),
  // Without the second one it runs nothing in a container.
  tool("buildah", "buildah", "netavark"),
  tool("cc", "gcc", "libc6-dev"),
  tool("chromium"),
  tool("docker", "docker-cli"),
  tool("docker-compose"),
  tool("dockerd", "docker.io"),
  tool("etcd", "etcd-server"),
  tool("etcdctl", "etcd-client"),
  tool("faketime"),
  tool("fish"),
  tool("groff", "groff-base"),
  { ...tool("initdb", "postgresql"), paths: ["/usr/lib/postgresql"] },
  tool("ip", "iproute2"),
  tool("kubectl"),
  tool("lintian"),
  tool("mandoc"),
  tool("mariadbd", "mariadb-server"),
  tool("mmdebstrap"),
  tool("mosquitto"),
  tool("mosquitto_pub", "mosquitto-clients"),
  tool("nft", "nftables"),
  tool("openssl"),
  // Without the last two it has no networks with names.
  tool("podman", "podman", "netavark", "aardvark-dns"),
  tool("podman-compose"),
  tool("promtool", "prometheus"),
  tool("qemu-x86_64", "qemu-user", "libc6-arm64-cross"),
  tool("runc"),
  tool("zsh"),
];

const isMissing = ({ name, paths }: Tool): boolean =>
  paths === undefined ? findProgram(name) === null : !paths.every((path) => existsSync(path));

/** Installs what these files need; prints the packages that are still missing. */
export async function installTools(files: readonly string[]): Promise<void> {
  const needed = toolsOf(files);
  const packages = packagesOf(needed.filter(isMissing));
  if (packages.length > 0 && process.getuid?.() === 0 && Bun.which("apt-get") !== null) await install(packages);
  const missing = packagesOf(needed.filter(isMissing));
  if (missing.length > 0) console.log(`not installed, so tests that need them fail: ${missing.join(", ")}`);
}

const packagesOf = (some: readonly Tool[]): string[] => [...new Set(some.flatMap(({ packages }) => packages))];

/** The tools that these files, by their paths in the project, and their imports name. */
export function toolsOf(files: readonly string[]): readonly Tool[] {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const [names, seen] = [new Set<string>(), new Set<string>()];
  const visit = (path: string): void => {
    // The code of the product starts no tools.
    if (seen.has(path) || !/^(?:test|scripts)\/.*\.ts$/.test(path) || path === ownPath) return;
    seen.add(path);
    const text = readFileSync(join(projectRoot, path), "utf8");
    for (const [, name = ""] of text.matchAll(/["'`](?:[\w/]*\/)?([\w-]+)["'`]/g)) names.add(name);
    for (const { path: imported } of transpiler.scanImports(text))
      if (imported.startsWith(".")) visit(join(dirname(path), imported));
  };
  for (const path of files) {
    if (!existsSync(join(projectRoot, path))) throw new Error(`there is no file ${path}`);
    visit(path);
  }
  return tools.filter(({ name }) => names.has(name));
}

/** Whether the text of a test looks itself for a tool, without which it skips tests. */
export const looksForTool = (text: string): boolean =>
  [...text.matchAll(/(?:findProgram|Bun\.which)\("([\w-]+)"\)/g)].some(([, found]) =>
    tools.some(({ name }) => name === found),
  );

const ownPath = relative(projectRoot, import.meta.filename);

async function install(packages: readonly string[]): Promise<void> {
  console.log(`installing ${packages.length} packages and what they depend on: ${packages.join(", ")}`);
  const startMs = performance.now();
  const allowServices = forbidServices();
  // The packages are for tests, so a crash of the machine may damage them.
  const words = ["install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-unsafe-io", ...packages];
  try {
    // The lists of packages may be missing or old.
    const first = await aptGet(words);
    if (!first.success) {
      await aptGet(["update"]);
      const second = await aptGet(words);
      if (!second.success) console.log(second.output.trimEnd());
    }
  } finally {
    allowServices();
  }
  console.log(`   took ${((performance.now() - startMs) / 1000).toFixed(0)} s`);
}

/**
 * Debian starts the service of an installed package unless the program policy-rc.d forbids it. The tests start their
 * own servers.
 */
function forbidServices(): () => void {
  const path = "/usr/sbin/policy-rc.d";
  if (existsSync(path)) return () => {};
  writeFileSync(path, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  return () => rmSync(path, { force: true });
}

/** Prints how far it is. */
async function aptGet(words: readonly string[]): Promise<{ readonly success: boolean; readonly output: string }> {
  const options = ["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Status-Fd=3"];
  // apt closes the descriptor of its status for the scripts of packages, some of which fail without standard output.
  const child = Bun.spawn(["sh", "-c", 'exec apt-get "$@" 3>&1', "sh", ...options, ...words], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 600_000,
  });
  const errors = child.stderr.text();
  const output: string[] = [];
  let printedPercent = 0;
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of child.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, kind, percent] = /^(dl|pm)status:[^:]*:([\d.]+):/.exec(line) ?? [];
      if (kind === undefined) output.push(line);
      else if (kind === "pm" && Number(percent) >= printedPercent + progressStepPercent) {
        printedPercent = Math.floor(Number(percent) / progressStepPercent) * progressStepPercent;
        console.log(`   ${printedPercent} %`);
      }
    }
  }
  return { success: (await child.exited) === 0, output: [...output, rest, await errors].join("\n") };
}

const progressStepPercent = 25;
