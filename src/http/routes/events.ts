/**
 * The change feed: what happened in the environment, in order, for anyone who may read it. In pages, or as a stream of server-sent events; the places
 * that both name are consistency tokens, so a reader goes from one to the other, and from node to node.
 */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { ReadFrom, EventReader, EventPage, EventPosition } from "../../replication/log/event-reader.ts";
import type { Node } from "../../replication/node.ts";
import { formatToken } from "../../replication/position.ts";
import { AppError } from "../../util/app-error.ts";
import { readAccess } from "../middleware/access.ts";
import { authorizationOf } from "../middleware/authentication.ts";
import { cloudEventOf } from "../events/cloud-event.ts";
import type { EventPages } from "../events/log-read-queue.ts";
import type { EventStreams } from "../events/event-streams.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";
import { validatingSchema } from "../request/schema-error.ts";

const types = ["application/json", "application/cloudevents-batch+json", "text/event-stream"] as const;

const limitStandard = 100;

const query = validatingSchema(
  "query",
  z.strictObject({
    after: z.string().optional(),
    limit: z
      .string()
      .regex(/^[1-9]\d{0,8}$/, { error: "must be a whole number from 1 on" })
      .optional(),
  }),
);

export function eventRoutes(node: Node, limits: Limits, streams: EventStreams, pages: EventPages) {
  return new Elysia().use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax })).get(
    "/api/events",
    async ({ query: { after, limit }, request }) => {
      const history = historyOf(node);
      const exchange = exchangeOf(request);
      const type = preferredType(request.headers.get("accept"), types);
      // Nobody would ever take anything of a stream that answers HEAD.
      if (type === "text/event-stream" && exchange.method !== "HEAD") {
        if (limit !== undefined)
          throw new AppError("invalid_request", "a stream of events has no `limit`, leave it away or ask for pages");
        const last = request.headers.get("last-event-id") || after;
        const from = await placed(node, last, "end");
        return streams.open(exchange, history, from, authorizationOf(request));
      }
      const eventsMax = Math.min(Number(limit ?? limitStandard), limits.eventsPageMax);
      const from = await placed(node, after, "earliest");
      const bounds = { eventsMax, bytesMax: limits.eventsPageBytesMax };
      const page = await pages.read(holderOf(exchange), () => pageAfter(node, history, from, bounds));
      return type === "application/cloudevents-batch+json" ? batchOf(page) : page;
    },
    { query },
  );
}

function historyOf(node: Node): EventReader {
  if (node.events !== undefined) return node.events;
  throw new AppError(
    "not_found",
    "this fallback fetches snapshots and has no events: ask the primary, an edge, or a fallback that follows (`follow: true`)",
  );
}

type Page = ReturnType<typeof pageAfter>;

/** Without a place from the first event that is kept; a stream without one begins with what comes. */
function pageAfter(node: Node, history: EventReader, from: ReadFrom, bounds: Bounds) {
  node.engine();
  const { events, next, head } = history.read(from, bounds);
  return {
    events: events.map((event) => cloudEventOf(event, node.environment)),
    next: tokenOf(next),
    head: tokenOf(head),
  };
}

type Bounds = Parameters<EventReader["read"]>[1];

/** The batch format is a bare list, so the rest of the page is in headers. */
function batchOf({ events, next, head }: Page): Response {
  return new Response(JSON.stringify(events), {
    headers: { "Content-Type": "application/cloudevents-batch+json", "Ostiary-Next": next, "Ostiary-Head": head },
  });
}

function tokenOf({ epoch, offset }: EventPage["head"]): string {
  return formatToken(epoch, offset);
}

/** Where to begin. Another node may have told of a place to which this one comes in a moment. */
async function placed(node: Node, text: string | undefined, standard: ReadFrom): Promise<ReadFrom> {
  if (text === undefined) return standard;
  const [, epoch, offset] = /^(?:([0-9a-f]{16}):)?(\d{1,15})$/.exec(text) ?? [];
  if (offset === undefined)
    throw new AppError(
      "invalid_request",
      `\`${text.slice(0, 64)}\` is no place in the log: send an offset, or back what \`next\`, \`head\` or the \`id\` of an event held`,
    );
  if (epoch === undefined) return { offset: Number(offset) };
  const place = { epoch, offset: Number(offset) };
  if (node.role !== "primary") await arrival(node, place);
  return place;
}

/** Whatever comes of it, the log says where it stands. */
async function arrival(node: Node, place: EventPosition): Promise<void> {
  try {
    await node.waitFor(tokenOf(place));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
  }
}

/**
 * The media type that a client prefers according to its `Accept` header: the first of `types` if the header is missing or accepts none of them. The
 * parameters of a media range, such as `charset`, are ignored; libraries for content negotiation compare them, so that `text/event-stream;
 * charset=utf-8` would not match.
 */
function preferredType<Type extends string>(accept: string | null, types: readonly [Type, ...Type[]]): Type {
  const ranges = (accept ?? "").split(",").map(rangeOf);
  const wanted = ranges.filter(({ quality }) => quality > 0).toSorted((one, other) => other.quality - one.quality);
  for (const { range } of wanted) {
    const found = types.find((type) => type === range || range === "*/*" || range === `${type.split("/")[0]}/*`);
    if (found !== undefined) return found;
  }
  return types[0];
}

function rangeOf(text: string): { readonly range: string; readonly quality: number } {
  const [range = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const quality = Number(parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? 1);
  return { range, quality: Number.isNaN(quality) ? 1 : quality };
}
