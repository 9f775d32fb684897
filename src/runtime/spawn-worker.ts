/** Starts worker threads of all kinds. */
import { openSharedChannel } from "./shared-thread.ts";
import {
  type Commands,
  connectChannel,
  entryUrl,
  openWorkerChannel,
  withEncoding,
  type WorkerHandle,
  type WorkerKind,
} from "./worker.ts";

/** Starts a worker, in a thread of its own or in one that serves several workers of its kind. */
export function spawnWorker<C extends Commands, Event = never>(kind: WorkerKind): WorkerHandle<C, Event> {
  const entry = entryUrl(kind.entry);
  const channel = kind.threadsMax === undefined ? openWorkerChannel(entry) : openSharedChannel(entry, kind.threadsMax);
  return connectChannel(withEncoding(kind.encoding, channel));
}
