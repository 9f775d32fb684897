/** A node as a process that runs from source in a directory of the test, with full and failing disks. */
import * as Bun from "bun";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { request, type Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { freePort, NodeProcess } from "../../scripts/node-process.ts";
import { compileLibrary } from "../chaos/disks.ts";
import { adminKey, nodeKey, policy } from "../replication/cluster.ts";

export interface Place {
  readonly directory: string;
  /** Started by the test. */
  node(options?: NodeOptions): Promise<NodeProcess>;
}

interface NodeOptions {
  readonly role?: "primary" | "edge" | "fallback";
  readonly data?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** What starts the program, before the program's own words. */
  readonly through?: readonly string[];
}

/** A temporary directory; after the test, nodes are stopped and the directory is deleted. */
export async function inDirectory(body: (place: Place) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-hostile-"));
  const nodes: NodeProcess[] = [];
  const main = join(projectRoot, "src", "main.ts");
  try {
    await body({
      directory,
      async node({ role = "primary", data = join(directory, role), environment = {}, through = [] } = {}) {
        const settings = {
          OSTIARY_ENVIRONMENT: "test",
          OSTIARY_NODE_KEY: nodeKey,
          OSTIARY_ADMIN_KEY: adminKey,
          OSTIARY_MQTT_PORT: "0",
          ...environment,
        };
        const node = new NodeProcess({
          binary: main,
          name: role,
          role,
          port: await freePort(),
          directory: data,
          environment: settings,
          place: { through: [...through, process.execPath], listen: "127.0.0.1", address: "127.0.0.1" },
        });
        nodes.push(node);
        return node;
      },
    });
  } catch (error) {
    const outputs = nodes.map(({ name, output }) => `--- ${name}\n${output.slice(-6000)}`);
    throw new Error([error instanceof Error ? (error.stack ?? error.message) : String(error), ...outputs].join("\n"), {
      cause: error,
    });
  } finally {
    await Promise.all(nodes.map((node) => node.kill()));
    rmSync(directory, { recursive: true, force: true });
  }
}

function run(...command: string[]): boolean {
  return Bun.spawnSync(command, { stdout: "ignore", stderr: "ignore" }).success;
}

/** Why small file systems cannot be mounted; undefined if they can. */
export const noMounts: boolean = (() => {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-mount-"));
  try {
    return !(process.getuid?.() === 0 && run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory));
  } finally {
    run("umount", directory);
    rmSync(directory, { recursive: true, force: true });
  }
})();

export interface SmallDisk {
  readonly path: string;
  remount(mode: "ro" | "rw"): void;
}

/** Mounts a file system of this size in memory while `body` runs. */
export async function withSmallDisk<T>(path: string, size: string, body: (disk: SmallDisk) => Promise<T>): Promise<T> {
  mkdirSync(path, { recursive: true });
  if (!run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path)) throw new Error(`cannot mount ${path}`);
  try {
    return await body({
      path,
      remount(mode) {
        if (!run("mount", "-o", `remount,${mode}`, path)) throw new Error(`cannot remount ${path} as ${mode}`);
      },
    });
  } finally {
    run("umount", "-l", path);
  }
}

/** Writes a file until `leftBytes` of space are left. Returns a function that frees the space. */
export function fillDisk(directory: string, leftBytes = 0): () => void {
  const path = join(directory, "filler");
  if (leftBytes > 0) {
    const { bavail, bsize } = statfsSync(directory);
    writeFileSync(path, new Uint8Array(bavail * bsize - leftBytes));
    return () => rmSync(path, { force: true });
  }
  for (const piece of [2 ** 20, 4096, 1])
    for (;;) {
      try {
        writeFileSync(path, new Uint8Array(piece), { flag: "a" });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        break;
      }
    }
  return () => rmSync(path, { force: true });
}

export interface FailingDisk {
  /** The environment variables of a node. */
  readonly environment: Readonly<Record<string, string>>;
  /**
   * From now on calls on files below the data directory fail by these rules (`test/chaos/failing-disk.c`); an empty
   * string means no failures.
   */
  fail(rules: string): void;
}

/** A disk with controllable failures for the node with these data. Throws without a C compiler. */
export function failingDisk(directory: string, data: string): FailingDisk {
  const library = compileLibrary(directory);
  if (!("path" in library)) throw new Error(library.missing);
  const control = join(directory, "control");
  writeFileSync(control, Buffer.alloc(controlBytes));
  return {
    environment: { LD_PRELOAD: library.path, FAILING_DISK_DIRECTORY: data, FAILING_DISK_CONTROL: control },
    fail: (rules) => writeFailingDiskRules(control, rules),
  };
}

/** Overwrites the rules in the control file, which the library has mapped. */
export function writeFailingDiskRules(control: string, rules: string): void {
  const content = Buffer.concat([Buffer.from(rules), Buffer.alloc(controlBytes - rules.length)]);
  writeFileSync(control, content, { flag: "r+" });
}

const controlBytes = 4096;

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | null;
}

export async function ask(node: NodeProcess, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${node.url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  return { status: response.status, text: await response.text(), retryAfter: response.headers.get("retry-after") };
}

const user = (id: string) => ({ type: "User", id });
const repository = { type: "Repo", id: "main" };
const role = (id: string) => ({
  predicate: "has_role",
  args: [user(id), { type: "String", id: "reader" }, repository],
});

/** Makes a user a reader. */
export const admit = (node: NodeProcess, id: string): Promise<Answer> =>
  ask(node, "POST", "/api/batch", [{ inserts: [role(id)] }]);
export const dismiss = (node: NodeProcess, id: string): Promise<Answer> =>
  ask(node, "POST", "/api/batch", [{ deletes: [role(id)] }]);

/** Whether a user can read; throws if the node does not answer. */
export async function mayRead(node: NodeProcess, id: string): Promise<boolean> {
  const question = { actor_type: "User", actor_id: id, action: "read", resource_type: "Repo", resource_id: "main" };
  const { status, text } = await ask(node, "POST", "/api/authorize", { ...question, context_facts: [] });
  if (status !== 200) throw new Error(`authorize answered ${status}: ${text}`);
  return (JSON.parse(text) as { readonly allowed: boolean }).allowed;
}

export const loadPolicy = (node: NodeProcess): Promise<Answer> =>
  ask(node, "POST", "/api/policy", { src: policy, filename: "policy.polar" });

/** The value of a metric with these labels. */
export async function metric(node: NodeProcess, name: string): Promise<number | undefined> {
  const { text } = await ask(node, "GET", "/metrics");
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

/** Like `admit`, over a kept-alive connection. Returns the status. */
export function batchOver(agent: Agent, node: NodeProcess, id: string): Promise<number> {
  const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
  return new Promise((resolve, reject) => {
    const sent = request(`${node.url}/api/batch`, { method: "POST", headers, agent, timeout: 5000 }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode ?? 0));
    });
    sent.once("error", reject);
    sent.end(JSON.stringify([{ inserts: [role(id)] }]));
  });
}
