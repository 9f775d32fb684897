/** The module `bun` for Deno: the functions of it that tests use. */
import {
  type ChildProcess,
  spawn as nodeSpawn,
  spawnSync as nodeSpawnSync,
  type StdioOptions,
} from "node:child_process";
import { accessSync, constants, existsSync, globSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { constants as osConstants } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { parse, stringify } from "yaml";

interface SpawnOptions {
  readonly cmd?: readonly string[];
  readonly cwd?: string;
  readonly env?: Record<string, string | undefined>;
  readonly stdin?: unknown;
  readonly stdout?: unknown;
  readonly stderr?: unknown;
  readonly timeout?: number;
  readonly killSignal?: NodeJS.Signals;
}

function stdioOf({ stdin = "ignore", stdout = "pipe", stderr = "inherit" }: SpawnOptions): StdioOptions {
  const isInput = typeof stdin === "object" && stdin !== null;
  return [isInput ? "pipe" : stdin, stdout, stderr] as StdioOptions;
}

function spawn(command: readonly string[] | SpawnOptions, given: SpawnOptions = {}) {
  const [words, options] = Array.isArray(command)
    ? [command as readonly string[], given]
    : [(command as SpawnOptions).cmd ?? [], command as SpawnOptions];
  const [program = "", ...parameters] = words;
  const { cwd, env, timeout, killSignal = "SIGTERM" } = options;
  const child: ChildProcess = nodeSpawn(program, parameters, {
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env: env as NodeJS.ProcessEnv }),
    ...(timeout === undefined ? {} : { timeout, killSignal }),
    stdio: stdioOf(options),
  });
  const exited = new Promise<number>((resolve, reject) => {
    child.once("exit", (status, signal) => resolve(status ?? 128 + osConstants.signals[signal ?? "SIGTERM"]));
    child.once("error", reject);
  });
  if (options.stdin instanceof Blob) void options.stdin.bytes().then((bytes) => child.stdin?.end(bytes));
  else if (options.stdin instanceof Uint8Array) child.stdin?.end(options.stdin);
  return {
    pid: child.pid ?? 0,
    stdin: child.stdin && {
      write: (data: string | Uint8Array) => child.stdin?.write(data),
      flush() {},
      end: () => child.stdin?.end(),
    },
    stdout: child.stdout && readableOf(child.stdout),
    stderr: child.stderr && readableOf(child.stderr),
    exited,
    // `child.kill` sends only one signal, and a frozen program still has to be killed.
    kill(signal: NodeJS.Signals | number = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) process.kill(child.pid ?? 0, signal);
    },
    get exitCode() {
      return child.exitCode;
    },
    get signalCode() {
      return child.signalCode;
    },
    ref: () => child.ref(),
    unref: () => child.unref(),
  };
}

/** A web stream with the methods that Bun adds. */
function readableOf(stream: Readable) {
  const web = Readable.toWeb(stream) as ReadableStream<Uint8Array>;
  const text = (): Promise<string> => new Response(web).text();
  return Object.assign(web, { text, json: async () => JSON.parse(await text()) as unknown });
}

function spawnSync(command: readonly string[] | SpawnOptions, given: SpawnOptions = {}) {
  const [words, options] = Array.isArray(command)
    ? [command as readonly string[], given]
    : [(command as SpawnOptions).cmd ?? [], command as SpawnOptions];
  const [program = "", ...parameters] = words;
  const { cwd, env, timeout, killSignal } = options;
  const { status, signal, stdout, stderr } = nodeSpawnSync(program, parameters, {
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env: env as NodeJS.ProcessEnv }),
    ...(timeout === undefined ? {} : { timeout, ...(killSignal === undefined ? {} : { killSignal }) }),
    ...(options.stdin instanceof Uint8Array ? { input: options.stdin } : {}),
    stdio: stdioOf({ stderr: "pipe", ...options }),
  });
  return { success: status === 0, exitCode: status ?? 1, signalCode: signal, stdout, stderr };
}

function which(name: string, options: { readonly PATH?: string } = {}): string | null {
  for (const directory of (options.PATH ?? process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Try the next directory.
    }
  }
  return null;
}

function file(path: string) {
  return {
    path,
    text: async () => readFileSync(path, "utf8"),
    json: async () => JSON.parse(readFileSync(path, "utf8")) as unknown,
    bytes: async () => new Uint8Array(readFileSync(path)),
    arrayBuffer: async () => new Uint8Array(readFileSync(path)).buffer,
    exists: async () => existsSync(path),
    get size() {
      return statSync(path).size;
    },
  };
}

async function write(path: string, content: string | Uint8Array): Promise<number> {
  writeFileSync(path, content);
  return content.length;
}

class Glob {
  readonly #pattern: string;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  scanSync(options: string | { readonly cwd?: string } = {}): Iterable<string> {
    return globSync(this.#pattern, { cwd: (typeof options === "string" ? options : options.cwd) ?? process.cwd() });
  }
}

/** A certificate or key: its text, or a file. */
type Pem = string | { readonly path: string };

const textOf = (pem: Pem): string => (typeof pem === "string" ? pem : readFileSync(pem.path, "utf8"));

interface ServeOptions {
  readonly port?: number;
  readonly hostname?: string;
  readonly tls?: { readonly cert?: Pem; readonly key?: Pem };
  readonly development?: boolean;
  readonly fetch: (request: Request) => Response | Promise<Response>;
}

function serve({ port = 0, hostname = "127.0.0.1", tls, fetch }: ServeOptions) {
  const abort = new AbortController();
  const certificate =
    tls?.cert === undefined || tls.key === undefined ? {} : { cert: textOf(tls.cert), key: textOf(tls.key) };
  const server = Deno.serve({ port, hostname, onListen() {}, signal: abort.signal, ...certificate }, (request) =>
    fetch(request),
  );
  return {
    port: server.addr.port,
    hostname,
    url: new URL(`${tls === undefined ? "http" : "https"}://${hostname}:${server.addr.port}/`),
    async stop(closesConnections = false) {
      if (closesConnections) abort.abort();
      else await server.shutdown();
    },
    [Symbol.dispose]() {
      abort.abort();
    },
  };
}

export const sleepSync = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
export const nanoseconds = (): number => Number(process.hrtime.bigint());
export const gc = (): void => {};
export const deepEquals = isDeepStrictEqual;
export const YAML = { parse, stringify };
export const version = Deno.version.deno;
export { file, Glob, serve, sleep, spawn, spawnSync, which, write, zstdCompressSync, zstdDecompressSync };
