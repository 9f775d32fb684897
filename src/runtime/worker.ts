/**
 * Typed calls into a Worker: the parent calls commands by name and gets promises; the worker may send events at any
 * time. An `AppError` arrives with its code, message and details, any other error as a plain error whose stack is the
 * worker's. Codes of SQLite and of the system arrive as well, because they tell a full disk from a damaged file.
 *
 * A worker starts from its source file when the program runs from source, and from a further entry point inside the
 * compiled binary: `scripts/build` compiles every file whose name ends in `-worker.ts` as one.
 */
import { closeSync, openSync } from "node:fs";
import { platform } from "#platform";
import type { Channel, WorkerChannel } from "./platform.ts";
import { AppError, type ErrorCode } from "../util/app-error.ts";

/** A kind of worker. The module that starts the worker declares it. */
export interface WorkerKind {
  /** For logs and tests. */
  readonly name: string;
  /** The file of the entry point, relative to `src/`; it ends in `-worker.ts`. */
  readonly entry: string;
  /** How messages are encoded; a structured clone by default. */
  readonly encoding?: MessageEncoding;
  /** With it, so many threads serve all workers of this kind, with `serveSharedWorkers`. By default each has its own. */
  readonly threadsMax?: number;
}

/**
 * JSON instead of a structured clone, for messages in both directions. A thread that has just woken up reads an object
 * from JSON in 20 µs, and the same object from a structured clone in 66 µs.
 */
export interface MessageEncoding {
  /** Commands whose parameters JSON cannot represent, or that are JSON texts themselves: these are cloned. */
  readonly clonedCommands: readonly string[];
}

/** The commands of a worker: functions, sync or async. */
export type Commands = Record<string, (...parameters: never[]) => unknown>;

type WorkerRequest =
  | { readonly command: string; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly command: string; readonly parameters: readonly unknown[] }
  | { readonly id: number; readonly stop: true };
type WorkerResponse =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: SerializedError }
  | { readonly event: unknown };

/** The same channel with encoded messages; both ends need the same encoding. Without one messages are cloned. */
export function withEncoding<C extends Channel>(encoding: MessageEncoding | undefined, channel: C): C {
  if (encoding === undefined) return channel;
  const isCloned = (message: object): boolean =>
    "command" in message && encoding.clonedCommands.includes(String(message.command));
  return {
    ...channel,
    send: (message, transfer) =>
      channel.send(isCloned(message as object) ? message : JSON.stringify(message), transfer),
    onMessage: (listener) =>
      channel.onMessage((message) => listener(typeof message === "string" ? JSON.parse(message) : message)),
  };
}

/** Typed calls over a channel whose other end `serveWorker` serves. */
export function connectChannel<C extends Commands, Event = never>(channel: WorkerChannel): WorkerHandle<C, Event> {
  return new WorkerHandle(channel);
}

/** A runtime may end the process when a Worker finds no free descriptor at its start. A Worker takes fewer than this. */
const workerDescriptors = 32;

/** Starts a worker thread. */
export function openWorkerChannel(entry: URL | string): WorkerChannel {
  requireDescriptors(workerDescriptors);
  return platform.startThread(entry);
}

/** Throws the error of the system (EMFILE, ENFILE) unless this process can open that many more descriptors. */
function requireDescriptors(count: number): void {
  const opened: number[] = [];
  try {
    while (opened.length < count) opened.push(openSync("/dev/null", "r"));
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

/** The address of an entry point, which is given relative to `src/`. */
export function entryUrl(entry: string): URL | string {
  return platform.isCompiled ? `./${entry}` : new URL(`../${entry}`, import.meta.url);
}

/**
 * The worker's side: answers commands until the parent sends `stop`. The encoding is that of the worker's kind. Returns
 * the function that sends an event to the parent.
 */
export function serveWorker<C extends Commands, Event = never>(
  commands: C,
  stop: () => void | Promise<void>,
  encoding?: MessageEncoding,
): (event: Event) => void {
  const parent: Channel = {
    send: (message) => postMessage(message),
    onMessage: (listener) => addEventListener("message", (message: MessageEvent<unknown>) => listener(message.data)),
  };
  return serveCommands(commands, stop, withEncoding(encoding, parent));
}

/** The same over any channel. */
export function serveCommands<C extends Commands, Event = never>(
  commands: C,
  stop: () => void | Promise<void>,
  channel: Channel,
): (event: Event) => void {
  const send = (message: WorkerResponse): void => channel.send(message);
  const inFlight = new Set<Promise<void>>();

  const answer = async (id: number | undefined, work: () => unknown): Promise<void> => {
    try {
      const result = await work();
      if (id !== undefined) send({ id, result });
    } catch (error) {
      if (id !== undefined) send({ id, error: serializeError(error) });
    }
  };

  channel.onMessage((message) => {
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

/** The parent's side of a worker: `connectChannel` makes it. */
export class WorkerHandle<C extends Commands, Event> {
  /** Resolves when the worker has ended: with a reason, unless it was stopped. */
  readonly exited: Promise<Error | undefined>;
  readonly #channel: WorkerChannel;
  readonly #pending = new Map<number, PendingCall>();
  readonly #listeners: ((event: Event) => void)[] = [];
  readonly #resolveExited: (reason: Error | undefined) => void;
  #lastId = 0;
  #gone: Error | undefined;
  #stopping: Promise<void> | undefined;

  constructor(channel: WorkerChannel) {
    this.#channel = channel;
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.exited = promise;
    this.#resolveExited = resolve;
    channel.onMessage((message) => this.#receive(message as WorkerResponse));
    channel.onEnd((reason) => this.#end(reason));
  }

  call<Name extends keyof C & string>(
    command: Name,
    ...parameters: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    return this.callWithTransfer([], command, ...parameters);
  }

  /** The same, but buffers are transferred, not copied: afterwards they are empty here. */
  callWithTransfer<Name extends keyof C & string>(
    transfer: readonly ArrayBuffer[],
    command: Name,
    ...parameters: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    if (this.#stopping !== undefined) return Promise.reject(new AppError("not_ready", "this node is shutting down"));
    return this.#request((id) => ({ id, command, parameters }), transfer) as Promise<Awaited<ReturnType<C[Name]>>>;
  }

  /** A call without a response: the result and the error of the command are discarded. */
  notify<Name extends keyof C & string>(command: Name, ...parameters: Parameters<C[Name]>): void {
    if (this.#stopping === undefined && this.#gone === undefined)
      this.#channel.send({ command, parameters } satisfies WorkerRequest);
  }

  /** The listener is called for each event of the worker, in order. */
  onEvent(listener: (event: Event) => void): void {
    this.#listeners.push(listener);
  }

  get hasExited(): boolean {
    return this.#gone !== undefined;
  }

  /** Ends the worker immediately, even in the middle of JavaScript. Its pending calls fail with `reason`. */
  terminate(reason: Error): void {
    this.#channel.end();
    this.#end(reason);
  }

  /** Waits for the pending calls, runs the worker's `stop` and ends it. Later calls fail. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    if (this.#gone !== undefined) return;
    try {
      await this.#request((id) => ({ id, stop: true }));
    } finally {
      this.#channel.end();
      this.#end(undefined);
    }
  }

  #request(message: (id: number) => WorkerRequest, transfer?: readonly ArrayBuffer[]): Promise<unknown> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#channel.send(message(id) satisfies WorkerRequest, transfer);
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
  readonly retryAfterMs?: number | undefined;
  readonly mayBeDone?: boolean;
  readonly stack: string | undefined;
  /** The code of SQLite or of the system, from the error or from the first of its causes that has one. */
  readonly systemCode: string | undefined;
  /** The message of the cause of an `AppError`. */
  readonly causeMessage: string | undefined;
}

function serializeError(error: unknown): SerializedError {
  const systemCode = systemCodeOf(error);
  if (error instanceof AppError) {
    const { code, message, details, retryAfterMs, mayBeDone, cause } = error;
    const [stack, causeMessage] = cause instanceof Error ? [cause.stack, cause.message] : [undefined, undefined];
    return { code, message, details, retryAfterMs, mayBeDone, stack, systemCode, causeMessage };
  }
  const [message, stack] = error instanceof Error ? [error.message, error.stack] : [String(error), undefined];
  return { code: undefined, message, details: undefined, stack, systemCode, causeMessage: undefined };
}

function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && !(error instanceof AppError) ? code : systemCodeOf(error.cause);
}

function deserializeError(error: SerializedError): Error {
  const { code, message, details, retryAfterMs, mayBeDone = false, stack, systemCode, causeMessage } = error;
  const coded = systemCode === undefined ? {} : { code: systemCode };
  const origin = stack === undefined ? undefined : Object.assign(new Error(causeMessage ?? "in the worker"), { stack });
  if (code === undefined) return Object.assign(new Error(message, { cause: origin }), coded);
  const known = { mayBeDone, ...(details && { details }), ...(retryAfterMs !== undefined && { retryAfterMs }) };
  return new AppError(code, message, { ...known, cause: origin && Object.assign(origin, coded) });
}
