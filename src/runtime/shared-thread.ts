/**
 * Several workers of one kind in one thread. A thread of its own takes about 25 MB of memory, which a process with many
 * small databases cannot afford. Each worker has its own commands and state; a message carries the number of its worker.
 *
 * A thread without workers waits for the next one for some seconds: it takes 50 ms of a processor to start, and its code
 * is compiled anew in each thread. For example, a promoted edge stops its writer and starts that of a primary.
 */
import { type Commands, type MessageEncoding, openWorkerChannel, serveCommands, withEncoding } from "./worker.ts";
import type { Channel, WorkerChannel } from "./platform.ts";

/** A message of one worker. An encoded one is a string, which is not cloned as part of an object. */
type Frame = string | { readonly worker: number; readonly message: unknown };
/** Tells the thread that a worker has no parent any more. */
interface EndOfWorker {
  readonly ended: number;
}

interface SharedThread {
  readonly channel: WorkerChannel;
  readonly workers: Map<number, ParentEnd>;
  /** Ends the thread while it has no worker. */
  idleTimer?: ReturnType<typeof setTimeout>;
}

/** The listeners of the parent of one worker. */
interface ParentEnd {
  onMessage?: (message: unknown) => void;
  onEnd?: (reason: Error) => void;
}

/** The running threads of this process, by the address of their entry point. */
const threads = new Map<string, SharedThread[]>();
let lastWorker = 0;

const idleMsDefault = 10_000;

/**
 * Starts a worker in a thread that has none, or in a new one, or in one that serves others as well, once `threadsMax`
 * threads run. `end` is for a worker that has stopped: it does not end the thread, which others may need.
 */
export function openSharedChannel(
  entry: URL | string,
  threadsMax: number,
  idleMs: number = idleMsDefault,
): WorkerChannel {
  const running = threads.get(String(entry)) ?? [];
  threads.set(String(entry), running);
  const thread = threadFor(entry, running, threadsMax);
  clearTimeout(thread.idleTimer);
  const id = ++lastWorker;
  const parent: ParentEnd = {};
  thread.workers.set(id, parent);
  return {
    send: (message, transfer) => thread.channel.send(frameOf(id, message), transfer),
    onMessage: (listener) => void (parent.onMessage = listener),
    onEnd: (listener) => void (parent.onEnd = listener),
    end() {
      if (!thread.workers.delete(id)) return;
      thread.channel.send({ ended: id } satisfies EndOfWorker);
      if (thread.workers.size === 0) thread.idleTimer = setTimeout(() => endThread(thread, running), idleMs).unref();
    },
  };
}

function threadFor(entry: URL | string, running: SharedThread[], threadsMax: number): SharedThread {
  const [first, ...others] = running;
  if (first === undefined) return startThread(entry, running);
  const least = others.reduce((found, next) => (next.workers.size < found.workers.size ? next : found), first);
  return least.workers.size > 0 && running.length < threadsMax ? startThread(entry, running) : least;
}

function startThread(entry: URL | string, running: SharedThread[]): SharedThread {
  const thread: SharedThread = { channel: openWorkerChannel(entry), workers: new Map() };
  thread.channel.onMessage((received) => {
    const [id, message] = contentOf(received as Frame);
    thread.workers.get(id)?.onMessage?.(message);
  });
  thread.channel.onEnd((reason) => {
    removeThread(thread, running);
    for (const { onEnd } of thread.workers.values()) onEnd?.(reason);
    thread.workers.clear();
  });
  running.push(thread);
  return thread;
}

function endThread(thread: SharedThread, running: SharedThread[]): void {
  removeThread(thread, running);
  thread.channel.end();
}

function removeThread(thread: SharedThread, running: SharedThread[]): void {
  const index = running.indexOf(thread);
  if (index !== -1) running.splice(index, 1);
}

/**
 * The thread's side: makes a worker with `start` when the first message for it arrives. `start` gets the function that
 * sends an event to the parent of this worker.
 */
export function serveSharedWorkers<C extends Commands, Event = never>(
  start: (emit: (event: Event) => void) => { readonly commands: C; readonly stop: () => void | Promise<void> },
  encoding?: MessageEncoding,
): void {
  const workers = new Map<number, (message: unknown) => void>();
  const open = (id: number): ((message: unknown) => void) => {
    let receive: (message: unknown) => void = () => {};
    const channel: Channel = {
      send: (message) => postMessage(frameOf(id, message)),
      onMessage: (listener) => void (receive = listener),
    };
    let emit: (event: Event) => void = () => {};
    const { commands, stop } = start((event) => emit(event));
    emit = serveCommands<C, Event>(commands, stop, withEncoding(encoding, channel));
    return receive;
  };
  addEventListener("message", ({ data }: MessageEvent<Frame | EndOfWorker>) => {
    if (typeof data === "object" && "ended" in data) return void workers.delete(data.ended);
    const [id, message] = contentOf(data);
    let receive = workers.get(id);
    if (receive === undefined) workers.set(id, (receive = open(id)));
    receive(message);
  });
}

function frameOf(worker: number, message: unknown): Frame {
  return typeof message === "string" ? `${worker} ${message}` : { worker, message };
}

function contentOf(frame: Frame): [worker: number, message: unknown] {
  if (typeof frame !== "string") return [frame.worker, frame.message];
  const end = frame.indexOf(" ");
  return [Number(frame.slice(0, end)), frame.slice(end + 1)];
}
