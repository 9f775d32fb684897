/** The change feed. */
import { z } from "zod";
import { countText } from "../../http/request/query-schemas.ts";
import { endpoints } from "../../http/endpoint.ts";

export const eventEndpoints = endpoints({
  getEvents: {
    method: "GET",
    path: "/api/events",
    tag: "operation",
    summary: "Changes in the order of the log, in pages or as a stream",
    description: "The header `Accept` selects a page, a CloudEvents batch or a stream of server-sent events.",
    kind: "read",
    role: "read",
    query: () => eventsQuery,
    responses: () => ({
      200: {
        description: "A page of events; with `Accept: text/event-stream` a stream without an end",
        content: {
          "application/json": pageSchema,
          "application/cloudevents-batch+json": z.array(cloudEventSchema),
          "text/event-stream": z.string(),
        },
      },
    }),
    errors: ["not_found", "gone", "too_many_requests"],
    errorBodies: () => ({ gone: positionErrorSchema, conflict: positionErrorSchema }),
  },
});

const eventsQuery = z.strictObject({
  after: z.string().optional(),
  limit: countText.optional(),
});

const cloudEventSchema = z
  .strictObject({
    specversion: z.literal("1.0"),
    id: z.string(),
    source: z.string(),
    type: z.string(),
    time: z.iso.datetime(),
    subject: z.string().optional(),
    offset: z.string(),
    epoch: z.string(),
    traceparent: z.string().optional(),
    datacontenttype: z.literal("application/json").optional(),
    data: z.looseObject({}).optional(),
  })
  .meta({ id: "CloudEvent" });

const pageSchema = z
  .strictObject({ events: z.array(cloudEventSchema), next: z.string(), head: z.string() })
  .meta({ id: "EventPage" });

/** Where the log of this node begins and ends. */
const positionErrorSchema = z
  .strictObject({
    message: z.string(),
    code: z.enum(["gone", "conflict"]),
    earliest: z.string().optional(),
    head: z.string().optional(),
  })
  .meta({ id: "PositionError" });
