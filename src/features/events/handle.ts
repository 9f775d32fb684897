/**
 * The change feed: the events of the environment in order, in pages or as a stream of server-sent events. Positions are
 * consistency tokens in both forms, so a reader can change between pages, streams and nodes.
 */
import type { Limits } from "../../config/limits.ts";
import { cloudEventOf } from "../../http/events/cloud-event.ts";
import type { EventStreams } from "../../http/events/event-streams.ts";
import type { EventPages } from "../../http/events/log-read-queue.ts";
import { authorizationOf } from "../../http/middleware/access.ts";
import { exchangeOf, holderOf } from "../../http/middleware/exchange.ts";
import { preferredType } from "../../http/request/media-types.ts";
import type { Handlers } from "../../http/router.ts";
import type { EventPage, EventReader, ReadFrom } from "../../log/reader/event-reader.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../log/event/position.ts";
import { AppError } from "../../util/app-error.ts";
import type { eventEndpoints } from "./endpoints.ts";

const types = ["application/json", "application/cloudevents-batch+json", "text/event-stream"] as const;

const defaultLimit = 100;

export function handleEvents(
  node: Node,
  limits: Limits,
  streams: EventStreams,
  pages: EventPages,
): Handlers<typeof eventEndpoints> {
  return {
    getEvents: async ({ query: { after, limit }, request }) => {
      const reader = readerOf(node);
      const exchange = exchangeOf(request);
      const type = preferredType(request.headers.get("accept"), types);
      // A response to HEAD has no body, so a stream would never end.
      if (type === "text/event-stream" && exchange.method !== "HEAD") {
        if (limit !== undefined)
          throw new AppError("invalid_request", "an event stream has no `limit`, omit it or ask for pages");
        const last = request.headers.get("last-event-id") || after;
        const from = await positionOf(node, last, "end");
        return streams.open(exchange, reader, from, authorizationOf(request));
      }
      const eventsMax = Math.min(Number(limit ?? defaultLimit), limits.eventsPageMax);
      const from = await positionOf(node, after, "earliest");
      const bounds = { eventsMax, bytesMax: limits.eventsPageBytesMax };
      const page = await pages.read(holderOf(exchange), () => pageAfter(node, reader, from, bounds));
      return type === "application/cloudevents-batch+json" ? batchOf(page) : page;
    },
  };
}

function readerOf(node: Node): EventReader {
  if (node.events !== undefined) return node.events;
  throw new AppError(
    "not_found",
    "this fallback downloads snapshots and has no events: ask the primary, an edge, or a fallback with `follow: true`",
  );
}

/** A page after a position. By default pages begin with the first event in the log, and streams with the next one. */
function pageAfter(node: Node, reader: EventReader, from: ReadFrom, bounds: Parameters<EventReader["read"]>[1]) {
  node.engine();
  const { events, next, head } = reader.read(from, bounds);
  return {
    events: events.map((event) => cloudEventOf(event, node.environment)),
    next: tokenOf(next),
    head: tokenOf(head),
  };
}

/** The batch format is a plain list, so the positions are in headers. */
function batchOf({ events, next, head }: ReturnType<typeof pageAfter>): Response {
  return new Response(JSON.stringify(events), {
    headers: { "Content-Type": "application/cloudevents-batch+json", "Ostiary-Next": next, "Ostiary-Head": head },
  });
}

function tokenOf({ epoch, offset }: EventPage["head"]): string {
  return formatToken(epoch, offset);
}

/** The position to begin after. It can come from another node, so this node waits until it has reached it. */
async function positionOf(node: Node, text: string | undefined, byDefault: ReadFrom): Promise<ReadFrom> {
  if (text === undefined) return byDefault;
  const [, epoch, offset] = /^(?:([0-9a-f]{16}):)?(\d{1,15})$/.exec(text) ?? [];
  if (offset === undefined)
    throw new AppError(
      "invalid_request",
      `\`${text.slice(0, 64)}\` is not a position in the log: send an offset, or the value of \`next\`, \`head\` or the \`id\` of an event`,
    );
  if (epoch === undefined) return { offset: Number(offset) };
  const position = { epoch, offset: Number(offset) };
  if (node.role === "primary") return position;
  try {
    await node.waitFor(tokenOf(position));
  } catch (error) {
    // Reading the log gives the error.
    if (!(error instanceof AppError)) throw error;
  }
  return position;
}
