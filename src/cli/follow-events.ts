/**
 * Following the change feed of a node: one stream of server-sent events after the other, each from where the last one ended, so that an
 * interruption leaves nothing out. Ends where nobody could go on: the place is in no log any more, or the key is refused.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../util/app-error.ts";
import { backoffMs } from "../util/backoff.ts";
import { noAnswerFrom, refusalOf, type NodeAccess } from "./node-api.ts";
import { parseServerSentEvents, type ServerSentEvent } from "./server-sent-events.ts";

export interface FollowOptions {
  /** Ends it, without an error. */
  readonly signal: AbortSignal;
  /** One CloudEvent. The next one waits for it. */
  readonly onEvent: (event: unknown) => Promise<void>;
  /** The stream was interrupted and is opened again. Called once for each interruption, however long it takes. */
  readonly onInterruption: (reason: string) => Promise<void>;
}

const retryDelay = { minMs: 200, maxMs: 5000 };
/** Longer than a node ever says nothing, unless it was told to. */
const silenceMsMax = 90_000;
/** Of these statuses another attempt may have another answer. */
const passing = new Set([408, 429, 500, 502, 503, 504]);

/** Calls `onEvent` with all that happens behind a place; without one, from now on. AppError where that can't go on. */
export async function followEvents(
  access: NodeAccess,
  after: string | undefined,
  options: FollowOptions,
): Promise<void> {
  const place: StreamPosition = { last: after };
  for (let failures = 0; !options.signal.aborted; failures++) {
    const { last } = place;
    const reason = await oneStream(access, place, options);
    if (reason === undefined) return;
    if (place.last !== last) failures = 0;
    if (failures === 0) await options.onInterruption(reason);
    await sleep(backoffMs(failures, retryDelay, Math.random()), undefined, { signal: options.signal }).catch(() => {});
  }
}

interface StreamPosition {
  /** What to go on from: `undefined` before anything is known. */
  last: string | undefined;
}

/** Why it ended; `undefined` where it was asked to. AppError where another one would end in the same way. */
async function oneStream(
  access: NodeAccess,
  place: StreamPosition,
  options: FollowOptions,
): Promise<string | undefined> {
  const { url } = access;
  const silence = new AbortController();
  const watch = setTimeout(() => silence.abort(new Error("nothing came for too long")), silenceMsMax);
  try {
    const response = await fetch(`${url}/api/events`, {
      headers: {
        Authorization: `Bearer ${access.key}`,
        Accept: "text/event-stream",
        ...(place.last !== undefined && { "Last-Event-ID": place.last }),
      },
      signal: AbortSignal.any([options.signal, silence.signal]),
    });
    if (passing.has(response.status)) return (await refusalOf(url, response)).message;
    if (!response.ok) throw await refusalOf(url, response);
    for await (const event of parseServerSentEvents(response.body, () => watch.refresh())) {
      place.last = event.lastEventId || place.last;
      const reason = await take(event, options);
      if (reason !== undefined) return `${url}: ${reason}`;
      if (options.signal.aborted) return undefined;
    }
    return `${url} ended the stream`;
  } catch (error) {
    if (options.signal.aborted) return undefined;
    if (error instanceof AppError) throw error;
    return noAnswerFrom(url, error);
  } finally {
    clearTimeout(watch);
  }
}

/** Why the node ends the stream, where the event says so. */
async function take({ type, data }: ServerSentEvent, options: FollowOptions): Promise<string | undefined> {
  if (data === "") return undefined;
  let content: unknown;
  try {
    content = JSON.parse(data);
  } catch {
    throw new AppError("invalid_request", "the node sends events that are not JSON, it may be of another version");
  }
  const { message = "no reason given" } = content as { readonly message?: string };
  if (type === "gone") throw new AppError("invalid_request", message);
  if (type === "end") return message;
  await options.onEvent(content);
  return undefined;
}
