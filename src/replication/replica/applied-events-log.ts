/** Lines of the log, at the level `debug`, for events that arrive: their positions, never their content. */
import { getLogger } from "../../telemetry/logger.ts";
import type { EventBatch } from "../transport/messages.ts";
import type { CommittedReplay } from "../log/store-writer.ts";
import type { DeliverySource } from "./applied-events.ts";

const log = getLogger("follow");

export function logReceivedBatch({ p, l, ev }: EventBatch): void {
  const announced = ev.filter(([, , , body]) => typeof body !== "string").length;
  log.debug("received events {first} to {last} of the feed, {announced} of them without their bodies", {
    first: p + 1,
    last: l,
    announced,
  });
}

export function logAppliedEvents({ events, startMs, committedMs }: CommittedReplay, source: DeliverySource): void {
  if (events.length === 0) return;
  const ms = Number((committedMs - startMs).toFixed(3));
  log.debug("applied events {first} to {last}, which came by {source}", {
    first: events[0]?.offset,
    last: events.at(-1)?.offset,
    source,
    ms,
  });
}
