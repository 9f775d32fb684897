/**
 * The disks of the nodes, and their faults. Each data directory is a memory file system of its own, which is filled up
 * or made read-only; and an LD_PRELOAD library (`failing-disk.c`) makes the node's writes and syncs fail. If the
 * machine does not permit one of these, `missing` says why, and its faults are skipped.
 */
import * as Bun from "bun";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { pick, type Random } from "../../scripts/benchmark/random.ts";
import type { NodeProcess } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { findProgram, programPath } from "../e2e/program.ts";

export const diskFaultKinds = [
  "full disk",
  "read-only disk",
  "write errors",
  "sync errors",
  "read errors",
  "no file descriptors",
] as const;
export type DiskFaultKind = (typeof diskFaultKinds)[number];

export interface PreparedDisk {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface DiskFault {
  /** Describes the fault. */
  readonly text: string;
  /** Whether no transaction can be committed during the fault. */
  readonly isTotal: boolean;
  end(): Promise<void>;
}

const tmpfsBytes = 2 ** 30;
/** The free space that remains without the ballast file. */
const fillBytes = 2 ** 20;
const refillMs = 100;
const controlBytes = 4096;

const writeRules = ["pwrite EIO", "pwrite ENOSPC", "pwrite EIO 0.3", "* EIO", "* ENOSPC", "pwrite EIO 1 -wal"] as const;
const syncRules = ["fsync EIO", "fsync EIO 0.5", "fsync EIO 1 -wal", "fsync EIO 1 .db"] as const;
const readRules = ["pread EIO", "pread EIO 0.1", "pread EIO 1 -wal"] as const;
const totalRules: ReadonlySet<string> = new Set([
  "pwrite EIO",
  "pwrite ENOSPC",
  "* EIO",
  "* ENOSPC",
  "pwrite EIO 1 -wal",
  "fsync EIO",
  "fsync EIO 1 -wal",
]);

export class Disks {
  /** The reason for each missing fault. */
  readonly missing: Readonly<Record<string, string>>;
  readonly kinds: readonly DiskFaultKind[];
  readonly #root: string;
  readonly #library: string | undefined;
  readonly #mounted = new Set<string>();
  readonly #isShared: boolean;

  /** `isShared`: whether all nodes and this process see the same mounts. */
  constructor(root: string, isShared: boolean) {
    this.#root = root;
    this.#isShared = isShared;
    const mounts = missingForMounts(root);
    const library = compileLibrary(root);
    this.#library = "path" in library ? library.path : undefined;
    this.missing = {
      ...(mounts === undefined ? {} : { "full and read-only disks": mounts }),
      ...("path" in library ? {} : { "write and sync errors": library.missing }),
      ...(findProgram("prlimit") === null ? { "file descriptors": "prlimit is not installed" } : {}),
    };
    const hasLibrary = this.#library !== undefined;
    this.kinds = diskFaultKinds.filter((kind) => {
      if (kind === "full disk") return mounts === undefined;
      if (kind === "read-only disk") return mounts === undefined && hasLibrary;
      if (kind === "no file descriptors") return findProgram("prlimit") !== null;
      return hasLibrary;
    });
  }

  /** Makes a node's data directory. Returns the environment variables for the node. */
  async prepare(name: string): Promise<PreparedDisk> {
    const directory = join(this.#root, name);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (this.kinds.includes("full disk")) {
      this.#mounted.add(directory);
      await run("mount", "-t", "tmpfs", "-o", `size=${tmpfsBytes},mode=0700`, "ostiary-chaos", directory);
    }
    if (this.#library === undefined) return { directory, environment: {} };
    const control = this.#controlOf(directory);
    writeFileSync(control, Buffer.alloc(controlBytes));
    const environment = {
      LD_PRELOAD: this.#library,
      FAILING_DISK_DIRECTORY: directory,
      FAILING_DISK_CONTROL: control,
    };
    return { directory, environment };
  }

  /** Resolves when the fault is in effect. */
  async begin(kind: DiskFaultKind, node: NodeProcess, next: Random): Promise<DiskFault> {
    switch (kind) {
      case "full disk":
        return this.#fill(node);
      case "read-only disk":
        return this.#makeReadOnly(node);
      case "write errors":
        return this.#failCalls(node, pick(next, writeRules));
      case "sync errors":
        return this.#failCalls(node, pick(next, syncRules));
      case "read errors":
        return this.#failCalls(node, pick(next, readRules));
      case "no file descriptors":
        return takeDescriptors(node);
    }
  }

  close(): void {
    // Another mount over it may make the directory read-only.
    for (const directory of this.#mounted)
      while (Bun.spawnSync([programPath("umount"), "--lazy", directory], { stderr: "ignore" }).success);
    this.#mounted.clear();
  }

  #controlOf(directory: string): string {
    return `${directory}.control`;
  }

  /** Space that becomes free meanwhile is used too, as by another program that writes as much as it can. */
  async #fill({ directory }: NodeProcess): Promise<DiskFault> {
    const ballast = join(directory, "ballast");
    const { blocks, bfree, bsize } = statfsSync(directory);
    const resize = (bytes: number): Promise<void> => run("mount", "-o", `remount,size=${bytes}`, directory);
    await resize((blocks - bfree) * bsize + fillBytes);
    const file = openSync(ballast, "w");
    const fill = (): void => {
      for (const chunk of [Buffer.alloc(65_536), Buffer.alloc(4096)]) while (wasWritten(file, chunk));
    };
    fill();
    const timer = setInterval(fill, refillMs);
    return {
      text: "another program fills it up",
      // Data that fit into the existing blocks of the WAL can still be written.
      isTotal: false,
      async end() {
        clearInterval(timer);
        closeSync(file);
        rmSync(ballast);
        await resize(tmpfsBytes);
      },
    };
  }

  /** A mount over the directory refuses files that are opened from now on; the library refuses writes to open ones. */
  async #makeReadOnly(node: NodeProcess): Promise<DiskFault> {
    const { directory } = node;
    const pid = String(this.#isShared ? process.pid : must(node.pid));
    const inside = (...command: string[]): Promise<void> =>
      run("nsenter", "--target", pid, "--mount", "--", ...command);
    const calls = this.#failCalls(node, "* EROFS");
    await inside("mount", "--bind", directory, directory);
    await inside("mount", "-o", "remount,bind,ro", directory);
    return {
      text: "everything fails with EROFS",
      isTotal: true,
      async end() {
        // If the node has exited, its mounts are gone.
        if (existsProcess(pid)) await inside("umount", "--lazy", directory);
        await calls.end();
      },
    };
  }

  #failCalls({ directory }: NodeProcess, rule: string): DiskFault {
    this.#write(directory, rule);
    return { text: rule, isTotal: totalRules.has(rule), end: async () => this.#write(directory, "") };
  }

  /** In one write, since the nodes have the file mapped. */
  #write(directory: string, rules: string): void {
    const bytes = Buffer.alloc(controlBytes);
    bytes.write(rules);
    const file = openSync(this.#controlOf(directory), "r+");
    writeSync(file, bytes, 0, controlBytes, 0);
    closeSync(file);
  }
}

/** The node keeps its open descriptors, and gets no more. */
async function takeDescriptors({ pid }: NodeProcess): Promise<DiskFault> {
  const limitsOf = `/proc/${must(pid)}`;
  const before = /^Max open files\s+(\d+)/m.exec(readFileSync(join(limitsOf, "limits"), "utf8"))?.[1];
  const highest = Math.max(...readdirSync(join(limitsOf, "fd")).map(Number));
  const limit = (soft: number | string): Promise<void> => run("prlimit", "--pid", String(pid), `--nofile=${soft}:`);
  await limit(highest + 1);
  return {
    text: "it may open no more",
    isTotal: false,
    async end() {
      if (existsProcess(String(pid))) await limit(must(before));
    },
  };
}

/** Why no file system can be mounted on this machine; undefined if one can. */
function missingForMounts(root: string): string | undefined {
  if (process.getuid?.() !== 0) return "only root can mount file systems";
  for (const program of ["mount", "umount", "nsenter"])
    if (findProgram(program) === null) return `${program} is not installed`;
  const directory = join(root, "tried");
  mkdirSync(directory);
  const tried = Bun.spawnSync([programPath("mount"), "-t", "tmpfs", "-o", "size=65536", "ostiary-chaos", directory]);
  if (tried.success) Bun.spawnSync([programPath("umount"), directory]);
  rmSync(directory, { recursive: true });
  return tried.success ? undefined : `no file system can be mounted: ${tried.stderr.toString().trim()}`;
}

/** The library of `failing-disk.c`, compiled into this directory. */
export function compileLibrary(root: string): { readonly path: string } | { readonly missing: string } {
  if (process.platform !== "linux") return { missing: "libraries are preloaded on Linux only" };
  const compiler = findProgram("cc");
  if (compiler === null) return { missing: "there is no C compiler (`cc`)" };
  const path = join(root, "failing-disk.so");
  const source = join(import.meta.dirname, "failing-disk.c");
  const { success, stderr } = Bun.spawnSync([compiler, "-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"]);
  return success ? { path } : { missing: `failing-disk.c does not compile: ${stderr.toString().trim()}` };
}

function wasWritten(file: number, bytes: Buffer): boolean {
  try {
    return writeSync(file, bytes) > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOSPC") return false;
    throw error;
  }
}

function existsProcess(pid: string): boolean {
  try {
    return process.kill(Number(pid), 0);
  } catch {
    return false;
  }
}

/** Asynchronous, because clients in this process measure the duration of their reads. */
async function run(program: string, ...parameters: string[]): Promise<void> {
  const child = Bun.spawn([programPath(program), ...parameters], { stdout: "ignore", stderr: "pipe" });
  if ((await child.exited) === 0) return;
  throw new Error(`${program} ${parameters.join(" ")} failed: ${(await child.stderr.text()).trim()}`);
}
