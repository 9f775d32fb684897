/**
 * Events of the log as CloudEvents 1.0, in their JSON format: what the change feed gives. What is told of an event is chosen here, member by member:
 * never the hash of a key, nor what names the request that it came from.
 */
import type { ApiKey, Effect } from "../../engine/state/event.ts";
import type { LoggedEvent } from "../../replication/log/event-reader.ts";
import { formatToken } from "../../replication/position.ts";
import { unreachable } from "../../util/assert.ts";

export interface CloudEvent {
  readonly specversion: "1.0";
  /** The event's position as a token: what `after` and `Last-Event-ID` take. */
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly time: string;
  readonly subject?: string;
  /** Extension attributes. Integers of CloudEvents end at 2^31, offsets do not, so this one is a string. */
  readonly offset: string;
  readonly epoch: string;
  readonly traceparent?: string;
  readonly datacontenttype?: "application/json";
  readonly data?: object;
}

/** The event as an event of the environment, whichever node tells it. */
export function cloudEventOf(event: LoggedEvent, environment: string): CloudEvent {
  const { epoch, offset, timeMs, traceparent, body } = event;
  // It was checked before it came into the log; to do so again would cost three times as much as all of this.
  const { type, subject, data } = contentOf(JSON.parse(body) as Effect);
  return {
    specversion: "1.0",
    id: formatToken(epoch, offset),
    source: `/environments/${environment}`,
    type,
    time: new Date(timeMs).toISOString(),
    ...(subject !== undefined && { subject }),
    offset: String(offset),
    epoch,
    ...(traceparent !== null && { traceparent }),
    ...(data !== undefined && { datacontenttype: "application/json", data }),
  };
}

interface Content {
  readonly type: string;
  readonly subject?: string;
  readonly data?: object;
}

function contentOf(happened: Effect): Content {
  switch (happened.kind) {
    case "facts":
      return {
        type: "ostiary.facts.changed",
        data: { inserted: happened.inserted, deleted: happened.deleted },
      };
    case "clear":
      return { type: "ostiary.facts.cleared" };
    case "policy": {
      const { id, filename, source } = happened;
      return { type: "ostiary.policy.loaded", subject: `policies/${id}`, data: { id, filename, source } };
    }
    case "keys":
      return { type: "ostiary.keys.changed", data: keyChange(happened) };
    case "epoch": {
      const { epoch, term } = happened;
      return { type: "ostiary.epoch.started", subject: `epochs/${epoch}`, data: { epoch, term } };
    }
    default:
      return unreachable(happened);
  }
}

/** Of keys that were removed before events told what they were, only the id is known. */
function keyChange({ added, removed, replaced = [] }: Extract<Effect, { kind: "keys" }>) {
  const known = new Map(replaced.map((key) => [key.id, key]));
  return {
    added: added.map(publicKey),
    removed: removed.map((id) => {
      const key = known.get(id);
      return key === undefined ? { id } : publicKey(key);
    }),
  };
}

function publicKey({ id, name, role, timeMs }: ApiKey) {
  return { id, name, role, created: new Date(timeMs).toISOString() };
}
