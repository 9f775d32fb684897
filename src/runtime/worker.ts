/**
 * Typed calls into a Worker: the parent calls commands by name and gets promises, the worker may send events at any time. Errors cross as
 * `AppError` with code, message and details; anything else arrives as a plain error whose stack is the worker's. Codes of SQLite and of the system
 * cross as well: they tell a full disk from a damaged file.
 *
 * Workers start from their source file under `bun run` and `bun test`, and from a further entry point inside the compiled binary, where
 * paths are relative to `src/`. `scripts/build` compiles every entry of `workerEntries`.
 */
import { AppError, type ErrorCode } from "../util/app-error.ts";
import { requireDescriptors } from "./file-descriptors.ts";

/** Where each worker's entry point is, relative to `src/`. */
export const workerEntries = {
  writer: "replication/log/writer-worker.ts",
  snapshot: "replication/snapshots/snapshot-worker.ts",
  aside: "engine/workers/worker-main.ts",
  body: "http/request/body-worker.ts",
} as const;
export type WorkerName = keyof typeof workerEntries;

/** What a worker can be asked: its handlers, sync or async. */
export type Commands = Record<string, (...parameters: never[]) => unknown>;

export interface WorkerHandle<C extends Commands, Event> {
  call<Name extends keyof C & string>(
    command: Name,
    ...parameters: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>>;
  /** The same, with buffers that the worker gets without a copy: they are empty here afterwards. */
  callWithTransfer<Name extends keyof C & string>(
    transfer: readonly ArrayBuffer[],
    command: Name,
    ...parameters: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>>;
  /** A call without an answer: what the command gives or throws nobody learns. */
  notify<Name extends keyof C & string>(command: Name, ...parameters: Parameters<C[Name]>): void;
  /** Called for each event that the worker emits, in order. */
  onEvent(listener: (event: Event) => void): void;
  /** Resolves when the worker is gone: with the reason where nobody asked it to stop. */
  readonly exited: Promise<Error | undefined>;
  readonly hasExited: boolean;
  /** Ends the worker at once, be it in the middle of JavaScript. What it was asked fails with `reason`. */
  terminate(reason: Error): void;
  /** Lets the worker finish what it was asked, runs its `stop` and ends it. Calls made later fail. */
  stop(): Promise<void>;
}

type WorkerRequest =
  | { readonly command: string; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly command: string; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly stop: true };
type WorkerResponse =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: SerializedError }
  | { readonly event: unknown };

/** Bun ends the whole process where a Worker that starts finds no descriptor left, so it is not started unless there are more than it takes. */
const workerDescriptors = 32;

export function spawnWorker<C extends Commands, Event = never>(name: WorkerName): WorkerHandle<C, Event> {
  return connectChannel(withWorkerEncoding(name, openWorkerChannel(name)));
}

/** Starts the worker in the file at `entry`; `spawnWorker` knows those of the appliance. */
export function connectWorker<C extends Commands, Event = never>(entry: URL): WorkerHandle<C, Event> {
  return connectChannel(openWorkerChannel(entry));
}

/** Workers that are spoken to in JSON, with those of their commands whose parameters it can't say, or are JSON themselves. All others are sent objects, which are cloned. */
const clonedCommands: Partial<Record<WorkerName, readonly string[]>> = { writer: ["open", "writeJson"] };

/** A way to somebody else and back. */
export interface Channel {
  /** A receiver in this process gets the buffers in `transfer` without a copy. */
  send(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  onMessage(listener: (message: unknown) => void): void;
}

/** The way to a worker and back, wherever it runs. */
export interface WorkerChannel extends Channel {
  /** Called once, when nothing more can come. */
  onEnd(listener: (reason: Error) => void): void;
  /** Ends the other side at once. */
  end(): void;
}

/**
 * Either end of the way to the worker of this name, in the form in which its messages go. A thread that has slept makes an object that was cloned in
 * 66 µs, one of the same members that came as JSON in 20.
 */
export function withWorkerEncoding<W extends Channel>(name: WorkerName, way: W): W {
  const exceptions = clonedCommands[name];
  if (exceptions === undefined) return way;
  const isCloned = (message: object): boolean => "command" in message && exceptions.includes(String(message.command));
  return {
    ...way,
    send: (message, transfer) => way.send(isCloned(message as object) ? message : JSON.stringify(message), transfer),
    onMessage: (listener) =>
      way.onMessage((message) => listener(typeof message === "string" ? JSON.parse(message) : message)),
  };
}

/** Typed calls over a port whose other side is served by `serveWorker`. */
export function connectChannel<C extends Commands, Event = never>(port: WorkerChannel): WorkerHandle<C, Event> {
  return new WorkerConnection<C, Event>(port);
}

/** Of a worker of the appliance, by its name, or of the one in a file. */
export function openWorkerChannel(entry: WorkerName | URL): WorkerChannel {
  requireDescriptors(workerDescriptors);
  const worker = new Worker(typeof entry === "string" ? entryOf(entry) : entry);
  return {
    send: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    onMessage: (listener) => worker.addEventListener("message", (message) => listener(message.data)),
    onEnd(listener) {
      worker.addEventListener("error", (event) => listener(new Error(`a worker failed: ${event.message}`)));
      worker.addEventListener("close", () => listener(new Error("a worker ended by itself")));
    },
    end: () => worker.terminate(),
  };
}

function entryOf(name: WorkerName): URL | string {
  const entry = workerEntries[name];
  return isCompiled() ? `./${entry}` : new URL(`../${entry}`, import.meta.url);
}

/**
 * The worker's side: answers the commands until the parent says stop. `name` is that of a worker of the appliance. Returns the function that sends an
 * event to the parent.
 */
export function serveWorker<C extends Commands, Event = never>(
  commands: C,
  stop: () => void | Promise<void>,
  name?: WorkerName,
): (event: Event) => void {
  const parent: Channel = {
    send: (message) => postMessage(message),
    onMessage: (listener) => addEventListener("message", (message: MessageEvent<unknown>) => listener(message.data)),
  };
  return serveCommands(commands, stop, name === undefined ? parent : withWorkerEncoding(name, parent));
}

/** The same over any way. */
export function serveCommands<C extends Commands, Event = never>(
  commands: C,
  stop: () => void | Promise<void>,
  port: Channel,
): (event: Event) => void {
  const send = (message: WorkerResponse): void => port.send(message);
  const inFlight = new Set<Promise<void>>();

  const answer = async (id: number | undefined, work: () => unknown): Promise<void> => {
    try {
      const result = await work();
      if (id !== undefined) send({ id, result });
    } catch (error) {
      if (id !== undefined) send({ id, error: serializeError(error) });
    }
  };

  port.onMessage((message) => {
    const request = message as WorkerRequest;
    if ("stop" in request) {
      void answer(request.id, async () => {
        await Promise.all(inFlight);
        await stop();
      });
      return;
    }
    const handler = commands[request.command] as ((...parameters: unknown[]) => unknown) | undefined;
    const running = answer("id" in request ? request.id : undefined, () => {
      if (handler === undefined) throw new Error(`the worker has no command \`${request.command}\``);
      return handler(...request.parameters);
    });
    inFlight.add(running);
    void running.then(() => inFlight.delete(running));
  });
  return (event) => send({ event });
}

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

class WorkerConnection<C extends Commands, Event> implements WorkerHandle<C, Event> {
  readonly exited: Promise<Error | undefined>;
  readonly #port: WorkerChannel;
  readonly #pending = new Map<number, PendingCall>();
  readonly #listeners: ((event: Event) => void)[] = [];
  #resolveExited!: (reason: Error | undefined) => void;
  #lastId = 0;
  #gone: Error | undefined;
  #stopping: Promise<void> | undefined;

  constructor(port: WorkerChannel) {
    this.#port = port;
    this.exited = new Promise((resolve) => {
      this.#resolveExited = resolve;
    });
    port.onMessage((message) => this.#receive(message as WorkerResponse));
    port.onEnd((reason) => this.#end(reason));
  }

  call<Name extends keyof C & string>(
    command: Name,
    ...parameters: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    return this.callWithTransfer([], command, ...parameters);
  }

  callWithTransfer<Name extends keyof C & string>(
    transfer: readonly ArrayBuffer[],
    command: Name,
    ...parameters: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    if (this.#stopping !== undefined) return Promise.reject(new AppError("not_ready", "this node is shutting down"));
    return this.#request((id) => ({ id, command, parameters }), transfer) as Promise<Awaited<ReturnType<C[Name]>>>;
  }

  notify<Name extends keyof C & string>(command: Name, ...parameters: Parameters<C[Name]>): void {
    if (this.#stopping === undefined && this.#gone === undefined)
      this.#port.send({ command, parameters } satisfies WorkerRequest);
  }

  onEvent(listener: (event: Event) => void): void {
    this.#listeners.push(listener);
  }

  get hasExited(): boolean {
    return this.#gone !== undefined;
  }

  terminate(reason: Error): void {
    this.#port.end();
    this.#end(reason);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    if (this.#gone !== undefined) return;
    try {
      await this.#request((id) => ({ id, stop: true }));
    } finally {
      this.#port.end();
      this.#end(undefined);
    }
  }

  #request(message: (id: number) => WorkerRequest, transfer?: readonly ArrayBuffer[]): Promise<unknown> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#port.send(message(id) satisfies WorkerRequest, transfer);
    });
  }

  #receive(message: WorkerResponse): void {
    if ("event" in message) {
      for (const listener of this.#listeners) listener(message.event as Event);
    } else if ("id" in message) {
      const pending = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if ("error" in message) pending?.reject(deserializeError(message.error));
      else pending?.resolve(message.result);
    }
  }

  #end(reason: Error | undefined): void {
    if (this.#gone !== undefined) return;
    this.#gone = reason ?? new AppError("not_ready", "this node is shutting down");
    for (const pending of this.#pending.values()) pending.reject(this.#gone);
    this.#pending.clear();
    this.#resolveExited(reason);
  }
}

interface SerializedError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly details: object | undefined;
  readonly stack: string | undefined;
  /** Of SQLite or of the system, of the error or of the first of its causes that has one. */
  readonly systemCode: string | undefined;
  /** The message of the cause of an `AppError`. */
  readonly causeMessage: string | undefined;
}

function serializeError(error: unknown): SerializedError {
  const systemCode = systemCodeOf(error);
  if (error instanceof AppError) {
    const { code, message, details, cause } = error;
    const [stack, causeMessage] = cause instanceof Error ? [cause.stack, cause.message] : [undefined, undefined];
    return { code, message, details, stack, systemCode, causeMessage };
  }
  const [message, stack] = error instanceof Error ? [error.message, error.stack] : [String(error), undefined];
  return { code: undefined, message, details: undefined, stack, systemCode, causeMessage: undefined };
}

function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && !(error instanceof AppError) ? code : systemCodeOf(error.cause);
}

function deserializeError(wire: SerializedError): Error {
  const { code, message, details, stack, systemCode, causeMessage } = wire;
  const coded = systemCode === undefined ? {} : { code: systemCode };
  if (code === undefined) {
    const origin = stack === undefined ? undefined : Object.assign(new Error("in the worker"), { stack });
    return Object.assign(new Error(message, { cause: origin }), coded);
  }
  const origin =
    stack === undefined ? undefined : Object.assign(new Error(causeMessage ?? "in the worker"), { stack, ...coded });
  return new AppError(code, message, {
    ...(details === undefined ? {} : { details }),
    ...(origin === undefined ? {} : { cause: origin }),
  });
}

export function isCompiled(): boolean {
  return import.meta.url.startsWith("file:///$bunfs/");
}
