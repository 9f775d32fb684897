/**
 * Follows the events of a node: opens one event stream after another, each from the position where the last one
 * ended, so that an interruption loses no event. It ends when no node could continue: the position is in no log any
 * more, or the API key is refused.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { AppError } from "../util/app-error.ts";
import { backoffMs } from "../util/backoff.ts";
import { credentialHeaders, errorFrom, fetchNode, noAnswer, type NodeAccess } from "./node-api.ts";

export interface FollowOptions {
  /** The path of the stream; by default that of the changes of facts, policy and keys. */
  readonly path?: string;
  /** Ends it without an error. */
  readonly signal: AbortSignal;
  /** Called with the data of one event. The next call waits until this one is done. */
  readonly onEvent: (event: unknown) => Promise<void>;
  /** Called once for each interruption, however long it lasts, before the stream is opened again. */
  readonly onInterruption: (reason: string) => Promise<void>;
}

const retryDelay = { minMs: 200, maxMs: 5000 };
/** A node with the default settings is never silent for so long. */
const silenceMsMax = 90_000;
/** More than any event of a node. */
const bufferedCharactersMax = 64 * 2 ** 20;
/** With these statuses another attempt may succeed. */
const temporary = new Set([408, 429, 500, 502, 503, 504]);

/**
 * Calls `onEvent` with all events after a position, by default from now on. Throws AppError if no attempt can succeed.
 */
export async function followEvents(
  access: NodeAccess,
  after: string | undefined,
  options: FollowOptions,
): Promise<void> {
  const position = { last: after };
  for (let failures = 0; !options.signal.aborted; failures++) {
    const { last } = position;
    const reason = await followOneStream(access, position, options);
    if (reason === undefined) return;
    if (position.last !== last) failures = 0;
    if (failures === 0) await options.onInterruption(reason);
    await sleep(backoffMs(failures, retryDelay, Math.random()), undefined, { signal: options.signal }).catch(() => {});
  }
}

/**
 * Sets `position.last` to the last event id. Returns why the stream ended; `undefined` if `signal` ended it. Throws
 * AppError if another stream would end in the same way.
 */
async function followOneStream(
  access: NodeAccess,
  position: { last: string | undefined },
  options: FollowOptions,
): Promise<string | undefined> {
  const { url } = access;
  const silence = new AbortController();
  const silenceTimer = setTimeout(() => silence.abort(new Error("the node was silent for too long")), silenceMsMax);
  try {
    const credentials = await credentialHeaders(access);
    const response = await fetchNode(access, options.path ?? "/api/events", {
      headers: {
        ...credentials,
        Accept: "text/event-stream",
        ...(position.last !== undefined && { "Last-Event-ID": position.last }),
      },
      signal: AbortSignal.any([options.signal, silence.signal]),
    });
    if (temporary.has(response.status)) return (await errorFrom(url, response)).message;
    if (!response.ok) throw await errorFrom(url, response);
    for await (const item of itemsOf(response.body, () => silenceTimer.refresh())) {
      if ("lastEventId" in item) {
        position.last = item.lastEventId || position.last;
        continue;
      }
      const reason = await handle(item, options);
      if (reason !== undefined) return `${url}: ${reason}`;
      if (options.signal.aborted) return undefined;
    }
    return `${url} ended the stream`;
  } catch (error) {
    if (options.signal.aborted) return undefined;
    // The issuer of a login can be down for a while.
    if (error instanceof AppError && error.code === "not_ready") return error.message;
    if (error instanceof AppError) throw error;
    return noAnswer(access, error).message;
  } finally {
    clearTimeout(silenceTimer);
  }
}

/**
 * The events of a response body, each after its id. An id can come without an event: it tells the position. `onBytes`
 * is called for all bytes, also those of a comment.
 */
export async function* itemsOf(
  body: ReadableStream<Uint8Array> | null,
  onBytes: () => void,
): AsyncGenerator<EventSourceMessage | { readonly lastEventId: string }> {
  const items: (EventSourceMessage | { readonly lastEventId: string })[] = [];
  const parser = createParser({
    maxBufferSize: bufferedCharactersMax,
    onId: (lastEventId) => items.push({ lastEventId }),
    onEvent: (event) => items.push(event),
    onError(error) {
      // The other errors are unknown fields, which the specification ignores.
      if (error.type === "max-buffer-size-exceeded") throw error;
    },
  });
  const decoder = new TextDecoder();
  for await (const bytes of body ?? []) {
    onBytes();
    parser.feed(decoder.decode(bytes, { stream: true }));
    yield* items.splice(0);
  }
}

/** Returns why the node ends the stream, if the event says so. */
async function handle({ event, data }: EventSourceMessage, options: FollowOptions): Promise<string | undefined> {
  if (data === "") return undefined;
  let content: unknown;
  try {
    content = JSON.parse(data);
  } catch {
    throw new AppError("invalid_request", "the node sends events that are not JSON; it may be of another version");
  }
  const { message = "no reason given" } = content as { readonly message?: string };
  if (event === "gone") throw new AppError("invalid_request", message);
  if (event === "end") return message;
  await options.onEvent(content);
  return undefined;
}
