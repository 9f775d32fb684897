/**
 * Follows a stream of server-sent events, and opens it again behind the last event when it breaks off. `EventSource`
 * cannot send the key.
 */
import { ApiError, isTemporary, onReturn, silentSinceMs } from "./node-api.ts";
import { messagesOf } from "./stream-messages.ts";

export interface StreamOptions {
  readonly signal: AbortSignal;
  /** Called for each event, in order. */
  readonly onEvent: (data: unknown) => void;
  /** Called when the stream is open, and when it broke off. */
  readonly onState: (isOpen: boolean) => void;
}

const delayMsMin = 500;
const delayMsMax = 5000;

/**
 * Resolves when `signal` is aborted. `open` opens the stream, behind an event if one is given. While the node is silent
 * the stream counts as broken off, and afterwards it is opened again: its connection may be dead. Throws ApiError if the
 * node refuses the stream, or cannot continue it there.
 */
export async function followStream(
  open: (lastEventId: string | undefined, signal: AbortSignal) => Promise<Response>,
  { signal, onEvent, onState }: StreamOptions,
): Promise<void> {
  let lastEventId: string | undefined;
  for (let delayMs = delayMsMin; !signal.aborted; delayMs = Math.min(2 * delayMs, delayMsMax)) {
    const outage = new AbortController();
    const end = silentSinceMs.subscribe((sinceMs) => {
      if (sinceMs === undefined) outage.abort();
      else onState(false);
    });
    const either = AbortSignal.any([signal, outage.signal]);
    try {
      const { body } = await open(lastEventId, either);
      onState(silentSinceMs.value === undefined);
      for await (const { id, data, gone } of body === null ? [] : messagesOf(body)) {
        if (gone !== undefined) throw new ApiError(410, "gone", gone);
        lastEventId = id ?? lastEventId;
        delayMs = delayMsMin;
        if (data !== undefined) onEvent(data);
        if (signal.aborted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      // A broken connection is no error of this API.
      if (error instanceof ApiError && !isTemporary(error)) throw error;
    } finally {
      end();
    }
    onState(false);
    if (outage.signal.aborted) delayMs = delayMsMin;
    else await pause(delayMs, signal);
  }
}

/** Ends early if the node answers again. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      endOutage();
      resolve();
    };
    const timer = setTimeout(end, ms);
    const endOutage = onReturn(end);
    signal.addEventListener("abort", end, { once: true });
  });
}
