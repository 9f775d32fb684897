/**
 * One node as a process: the built binary with settings from the environment. It can be started, stopped and killed
 * repeatedly at the same address, and its output is kept. `scripts/up` and the end-to-end tests run their nodes with
 * it.
 */
import * as Bun from "bun";
import { createServer } from "node:net";
import { mkdirSync } from "node:fs";

export interface NodeOptions {
  readonly binary: string;
  /** The node id. */
  readonly name: string;
  readonly role: "primary" | "edge" | "fallback";
  readonly port: number;
  readonly directory: string;
  /** Further settings and other variables of the environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Its host, if that is not this machine. */
  readonly place?: Place;
}

/** A host such as a network namespace. */
export interface Place {
  /** The command that starts a program there. It has to `exec` the program, so that signals reach it. */
  readonly through: readonly string[];
  /** The address to listen on. */
  readonly listen: string;
  /** The address at which this process reaches it. */
  readonly address: string;
}

const thisMachine: Place = { through: [], listen: "127.0.0.1", address: "127.0.0.1" };

/** The response of `GET /healthcheck`. */
export interface Health {
  /** Whether it can answer queries, from the status. */
  readonly ok: boolean;
  readonly role: string;
  readonly state: string;
  /** This and the following members are null without a database. */
  readonly epoch: string | null;
  readonly term: number | null;
  readonly offset: number | null;
  readonly digest: string | null;
  /** A description of how it gets events; undefined for a primary. */
  readonly following?: string;
}

const newline = 10;
const readyTimeoutMs = 20_000;
const outputCharactersKept = 200_000;

/** How much output a node wrote, in all its runs. */
export interface OutputSize {
  readonly bytes: number;
  readonly lines: number;
  readonly longestLineBytes: number;
}

export class NodeProcess {
  readonly name: string;
  readonly url: string;
  readonly directory: string;
  readonly #options: NodeOptions;
  /** All unexpected exits. */
  readonly exits: string[] = [];
  #process: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #asked: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #output = "";
  #size: OutputSize = { bytes: 0, lines: 0, longestLineBytes: 0 };

  constructor(options: NodeOptions) {
    this.#options = options;
    this.name = options.name;
    this.directory = options.directory;
    this.url = `http://${(options.place ?? thisMachine).address}:${options.port}`;
  }

  /** The whole output, of all runs. */
  get output(): string {
    return this.#output;
  }

  get outputSize(): OutputSize {
    return this.#size;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get running(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** How the process ended; undefined while it runs, and before it is started. */
  get ending(): string | undefined {
    if (this.#process === undefined || this.running) return undefined;
    const { exitCode, signalCode } = this.#process;
    return signalCode === null ? `status ${exitCode}` : `signal ${signalCode}`;
  }

  /** Starts the process without waiting; `ready` waits until it answers. */
  launch(extra: Readonly<Record<string, string>> = {}): void {
    if (this.running) throw new Error(`${this.name} runs already`);
    const { binary, role, port, directory, environment, name, place = thisMachine } = this.#options;
    mkdirSync(directory, { recursive: true });
    const settings = {
      OSTIARY_HOST: place.listen,
      OSTIARY_PORT: String(port),
      OSTIARY_DATA: directory,
      OSTIARY_NODE_ID: name,
    };
    this.#process = Bun.spawn([...place.through, binary, "serve", "--role", role], {
      cwd: directory,
      env: { PATH: process.env["PATH"] ?? "", ...settings, ...environment, ...extra },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // Ctrl-C in a terminal signals the whole process group, but the parent decides when this node stops.
      detached: true,
    });
    void this.#keep(this.#process.stdout);
    void this.#keep(this.#process.stderr);
    void this.#watch(this.#process);
  }

  async start(fit?: (health: Health) => boolean, timeoutMs?: number): Promise<void> {
    this.launch();
    await this.ready(fit, timeoutMs);
  }

  /** Resolves when the node is healthy, or fulfils another condition of its health. */
  async ready(fit: (health: Health) => boolean = ({ ok }) => ok, timeoutMs = readyTimeoutMs): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const health = await this.health();
      if (health !== undefined && fit(health)) return;
      if (!this.running) throw new Error(`${this.name} ended while it started:\n${this.#output}`);
      if (Date.now() > deadline) throw new Error(`${this.name} was not ready in time:\n${this.#output}`);
      await Bun.sleep(20);
    }
  }

  /** Undefined if it does not answer. */
  health(): Promise<Health | undefined> {
    return healthAt(this.url).catch(() => undefined);
  }

  /** Stops the node with a signal and resolves with its exit status. */
  async stop(timeoutMs = 15_000): Promise<number> {
    const ending = this.#process;
    if (ending === undefined) return 0;
    this.#asked = ending;
    ending.kill("SIGTERM");
    const timer = setTimeout(() => ending.kill("SIGKILL"), timeoutMs);
    await ending.exited;
    clearTimeout(timer);
    return ending.exitCode ?? -1;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#asked = this.#process;
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  /** Freezes the process, like a hanging machine. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.kill(signal);
  }

  async #watch(started: Bun.Subprocess<"ignore", "pipe", "pipe">): Promise<void> {
    const startMs = performance.now();
    await started.exited;
    if (this.#asked === started) return;
    const how = started.signalCode === null ? `status ${started.exitCode}` : `signal ${started.signalCode}`;
    this.exits.push(`${this.name} ended with ${how} after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let lineBytes = 0;
    for await (const chunk of stream) {
      lineBytes = this.#measure(chunk, lineBytes);
      this.#output = (this.#output + decoder.decode(chunk, { stream: true })).slice(-outputCharactersKept);
    }
  }

  /** Takes and returns the number of bytes of the incomplete last line. */
  #measure(chunk: Uint8Array, begunBytes: number): number {
    let { bytes, lines, longestLineBytes } = this.#size;
    let [start, begun] = [0, begunBytes];
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      longestLineBytes = Math.max(longestLineBytes, begun + end - start);
      [start, begun, lines] = [end + 1, 0, lines + 1];
    }
    bytes += chunk.length;
    begun += chunk.length - start;
    this.#size = { bytes, lines, longestLineBytes: Math.max(longestLineBytes, begun) };
    return begun;
  }
}

/** Throws if it does not answer. */
export async function healthAt(url: string): Promise<Health> {
  const response = await fetch(`${url}/healthcheck`, { signal: AbortSignal.timeout(2000) });
  const told = (await response.json()) as Omit<Health, "ok">;
  return { ...told, ok: response.ok };
}

/**
 * A free port below the range of outgoing connections, so that it is still free when a killed node is started again.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (taken.has(port)) continue;
    if (await canListen(port)) {
      taken.add(port);
      return port;
    }
  }
  throw new Error("found no free port between 20000 and 32000");
}

const taken = new Set<number>();

const canListen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });

/** A new API key for `OSTIARY_ADMIN_KEY`. */
export const newAdminKey = (environment = "default"): string => `e_${environment}_admin_${randomHex(24)}`;

export const randomHex = (bytes: number): string =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString("hex");
