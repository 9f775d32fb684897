/**
 * Follows a stream of server-sent events, and opens it again behind the last event when it breaks off. `EventSource`
 * cannot send the key.
 */
import { createParser } from "eventsource-parser";
import { ApiError, isTemporary } from "./node-api.ts";

export interface StreamOptions {
  readonly signal: AbortSignal;
  /** Called for each event, in order. */
  readonly onEvent: (data: unknown) => void;
  /** Called when the stream is open, and when it broke off. */
  readonly onState: (isOpen: boolean) => void;
}

const delayMsMin = 500;
const delayMsMax = 5000;
/** More than any event of a node. */
const bufferedCharactersMax = 2 ** 24;

/**
 * Resolves when `signal` is aborted. `open` opens the stream, behind an event if one is given. Throws ApiError if the
 * node refuses the stream, or cannot continue it there.
 */
export async function followStream(
  open: (lastEventId: string | undefined) => Promise<Response>,
  { signal, onEvent, onState }: StreamOptions,
): Promise<void> {
  let lastEventId: string | undefined;
  for (let delayMs = delayMsMin; !signal.aborted; delayMs = Math.min(2 * delayMs, delayMsMax)) {
    try {
      const response = await open(lastEventId);
      onState(true);
      for await (const { id, data } of messagesOf(response)) {
        lastEventId = id ?? lastEventId;
        delayMs = delayMsMin;
        if (data !== undefined) onEvent(data);
        if (signal.aborted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      // A broken connection is no error of this API.
      if (error instanceof ApiError && !isTemporary(error)) throw error;
    }
    onState(false);
    await pause(delayMs, signal);
  }
}

interface Message {
  readonly id?: string;
  readonly data?: unknown;
}

/** An id can come without an event: it gives the position. Ends when the node ends the stream. */
async function* messagesOf(response: Response): AsyncGenerator<Message> {
  const messages: (Message & { readonly end?: true })[] = [];
  const parser = createParser({
    maxBufferSize: bufferedCharactersMax,
    onId: (id) => messages.push({ id }),
    onEvent({ event, data }) {
      if (data === "") return;
      const content = JSON.parse(data) as { readonly message?: string };
      if (event === "gone") throw new ApiError(410, "gone", content.message ?? "");
      messages.push(event === "end" ? { end: true } : { data: content });
    },
    onError(error) {
      if (error.type === "max-buffer-size-exceeded") throw error;
    },
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const chunk = await reader?.read();
      if (chunk?.value === undefined) return;
      parser.feed(chunk.value);
      for (const message of messages.splice(0)) {
        if (message.end === true) return;
        yield message;
      }
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
