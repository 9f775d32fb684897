/**
 * A listener whose connections are spread over several threads: each has a socket of its own at the port, and the system
 * chooses one for each connection (SO_REUSEPORT). A thread answers what it can, and hands all other requests to this
 * thread. One that ends is replaced; the others go on.
 */
import { platform } from "#platform";
import { ForwardedRequests, type FromAnswerer, type FromListener } from "./forwarded-requests.ts";
import type { Channel, HttpServer, ListenOptions, WorkerChannel } from "./platform.ts";
import { asksForUpgrade } from "./web-socket-duplex.ts";
import { RequestForwarder } from "./request-forwarder.ts";
import { entryUrl, openWorkerChannel } from "./worker.ts";

export interface ListenerThreads {
  readonly count: number;
  /** The entry point of the thread, relative to `src/`. It calls `serveListenerThread`. */
  readonly entry: string;
  /** Gets each thread that has started. Messages of this channel are the caller's own. */
  readonly onThread: (thread: WorkerChannel) => void;
  /** Gets the reason why a thread ended, before it is replaced. */
  readonly onFailure: (reason: Error) => void;
}

/** How a thread listens. */
type ThreadListen = Pick<ListenOptions, "hostname" | "port" | "bodyBytesMax" | "idleTimeoutMs" | "messageBytesMax">;

type ToThread =
  | { readonly listen: ThreadListen }
  | { readonly end: "gently" | "now" }
  | { readonly answerer: FromAnswerer }
  | { readonly own: unknown };
type FromThread =
  | { readonly isListening: true }
  | { readonly problem: string; readonly code: string | undefined }
  | { readonly hasEnded: true }
  | { readonly listener: FromListener }
  | { readonly own: unknown };

export interface ThreadedServer extends HttpServer {
  /** Resolves when all threads listen. Rejects with the error of the system. */
  readonly ready: Promise<void>;
}

/** Whether connections can be spread over threads here. */
export const { spreadsConnections } = platform;

/** How long a thread may take to close its connections. */
const endMsMax = 1000;
/** A thread that ends soon after its start is started again after this time. */
const restartMs = 1000;

/** Throws the error of the system if the port is taken. */
export function listenOnThreads(options: ListenOptions, threads: ListenerThreads): ThreadedServer {
  const port = platform.reservePort(options.hostname, options.port);
  const running = new Set<ParentThread>();
  let isReady = false;
  let isStopping = false;
  const start = (): ParentThread => {
    const startedMs = performance.now();
    const thread = new ParentThread(threads.entry, { ...options, port });
    running.add(thread);
    void replaceAfterEnd(thread, startedMs);
    threads.onThread(thread.own);
    return thread;
  };
  const replaceAfterEnd = async (thread: ParentThread, startedMs: number): Promise<void> => {
    const reason = await thread.ended;
    running.delete(thread);
    if (isStopping || reason === undefined || !isReady) return;
    threads.onFailure(reason);
    setTimeout(restart, performance.now() - startedMs < restartMs ? restartMs : 0);
  };
  const restart = (): void => {
    if (isStopping) return;
    try {
      start();
    } catch (error) {
      threads.onFailure(error as Error);
      setTimeout(restart, restartMs);
    }
  };
  const end = async (how: "gently" | "now"): Promise<void> => {
    isStopping = true;
    await Promise.all([...running].map((thread) => thread.end(how)));
  };
  const startAll = async (): Promise<void> => {
    try {
      await Promise.all(Array.from({ length: threads.count }, async () => start().ready));
      isReady = true;
    } catch (error) {
      await end("now");
      throw error;
    }
  };
  return {
    port,
    ready: startAll(),
    stop: () => end("gently"),
    abort: () => end("now"),
  };
}

/** A thread that listens, as this thread sees it. */
class ParentThread {
  /** Resolves when it listens. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended: with a reason, unless `end` was called. */
  readonly ended: Promise<Error | undefined>;
  /** For the messages of the caller. */
  readonly own: WorkerChannel;
  readonly #channel: WorkerChannel;
  #isEnding = false;
  readonly #end: (reason: Error | undefined) => void;

  constructor(entry: string, options: ListenOptions) {
    const ready = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<Error | undefined>();
    [this.ready, this.ended] = [ready.promise, ended.promise];
    // A thread that replaces another one has nobody who waits for it.
    ready.promise.catch(() => {});
    const channel = openWorkerChannel(entryUrl(entry));
    this.#channel = channel;
    const send = (message: ToThread): void => channel.send(message);
    const requests = new ForwardedRequests(options, (answerer) => send({ answerer }));
    let receiveOwn = (_message: unknown): void => {};
    this.own = {
      send: (own) => send({ own }),
      onMessage: (listener) => void (receiveOwn = listener),
      onEnd: (listener) => void ended.promise.then((reason) => listener(reason ?? new Error("the thread was ended"))),
      end: () => channel.end(),
    };
    channel.onMessage((received) => {
      const message = received as FromThread;
      if ("listener" in message) requests.receive(message.listener);
      else if ("own" in message) receiveOwn(message.own);
      else if ("isListening" in message) ready.resolve();
      else if ("hasEnded" in message) this.#end(undefined);
      else this.#end(Object.assign(new Error(message.problem), { code: message.code }));
    });
    channel.onEnd((reason) => this.#end(this.#isEnding ? undefined : reason));
    this.#end = (reason) => {
      channel.end();
      requests.end();
      ready.reject(reason ?? new Error("the thread was ended"));
      ended.resolve(reason);
    };
    const { hostname, port, bodyBytesMax, idleTimeoutMs, messageBytesMax } = options;
    send({ listen: { hostname, port, bodyBytesMax, idleTimeoutMs, messageBytesMax } });
  }

  /** Ends the thread when its requests have ended, or now. A thread that does nothing any more is ended as well. */
  async end(how: "gently" | "now"): Promise<void> {
    this.#isEnding = true;
    this.#channel.send({ end: how } satisfies ToThread);
    const timer = how === "now" ? setTimeout(() => this.#end(undefined), endMsMax) : undefined;
    await this.ended;
    clearTimeout(timer);
  }
}

/** The thread's side. */
export interface ListenerThread {
  /** Hands a request to the thread that answers. `body` is that of the request if it was read. */
  readonly forward: RequestForwarder["forward"];
  /** For the messages of the caller. */
  readonly own: Channel;
}

/** What a thread does with its requests. */
interface ThreadService extends Pick<ListenOptions, "fetch"> {
  /** Called before the thread is ended, when its requests have ended. */
  close(): void;
}

/** Listens in this thread as soon as its parent says where. `fetch` gets all requests but those for WebSockets. */
export function serveListenerThread(open: (thread: ListenerThread) => ThreadService): void {
  const send = (message: FromThread): void => postMessage(message);
  const forwarder = new RequestForwarder((listener) => send({ listener }));
  let receiveOwn = (_message: unknown): void => {};
  const { fetch, close } = open({
    forward: (...request) => forwarder.forward(...request),
    own: { send: (own) => send({ own }), onMessage: (listener) => void (receiveOwn = listener) },
  });
  let server: HttpServer | undefined;
  addEventListener("message", ({ data }: MessageEvent<ToThread>) => {
    if ("answerer" in data) return forwarder.receive(data.answerer);
    if ("own" in data) return receiveOwn(data.own);
    if ("listen" in data) return void (server = listen(data.listen, fetch, forwarder, send));
    return void end(data.end, server).finally(() => {
      close();
      send({ hasEnded: true });
    });
  });
}

async function end(how: "gently" | "now", server: HttpServer | undefined): Promise<void> {
  await (how === "gently" ? server?.stop() : server?.abort());
}

function listen(
  options: ThreadListen,
  fetch: ListenOptions["fetch"],
  forwarder: RequestForwarder,
  send: (message: FromThread) => void,
): HttpServer | undefined {
  try {
    const server = platform.listen({
      ...options,
      joins: true,
      fetch,
      upgradeOf: (request) => (asksForUpgrade(request) ? forwarder.upgradeOf(request) : undefined),
      endConnections() {},
    });
    send({ isListening: true });
    return server;
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    send({ problem: message, code });
    return undefined;
  }
}
