/**
 * Events of the log as CloudEvents 1.0 in their JSON format, for the change feed. Each public member of an event is
 * chosen here: the hash of an API key and the idempotency key of a request are never public.
 */
import { parseStoredText } from "../../policy/stored-policy.ts";
import type { ApiKey, Effect } from "../../log/event/event.ts";
import type { LoggedEvent } from "../../log/reader/event-reader.ts";
import { formatToken } from "../../log/event/position.ts";
import { unreachable } from "../../util/assert.ts";
import { bindingsNameOf, isBindingsRow } from "../../store/keys/stored-bindings.ts";
import { keyIdOf, secretOf } from "../../store/keys/key-grant.ts";
import { publicGrant } from "./public-grant.ts";

export interface CloudEvent {
  readonly specversion: "1.0";
  /** The position of the event as a token, for `after` and `Last-Event-ID`. */
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly time: string;
  readonly subject?: string;
  /** Extension attributes. An offset can exceed 2^31, the limit of integers in CloudEvents, so it is a string. */
  readonly offset: string;
  readonly epoch: string;
  readonly traceparent?: string;
  readonly datacontenttype?: "application/json";
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Every node gives the same CloudEvent for an event of the environment. */
export function cloudEventOf(event: LoggedEvent, environment: string): CloudEvent {
  const { epoch, offset, timeMs, traceparent, body } = event;
  // The event was validated before it was logged. Another validation would take three times as long as this function.
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

function contentOf(effect: Effect): Pick<CloudEvent, "type" | "subject" | "data"> {
  switch (effect.kind) {
    case "facts":
      return { type: "ostiary.facts.changed", data: { inserted: effect.inserted, deleted: effect.deleted } };
    case "clear":
      return { type: "ostiary.facts.cleared" };
    case "policy": {
      const { id, filename } = effect;
      const { source, author, message } = parseStoredText(id, effect.source);
      const data = { id, filename, source, author, message };
      return { type: "ostiary.policy.loaded", subject: `policies/${id}`, data };
    }
    case "keys":
      if (isBindingsChange(effect)) return { type: "ostiary.bindings.changed", data: bindingsChange(effect) };
      return { type: "ostiary.keys.changed", data: keyChange(effect) };
    case "epoch": {
      const { epoch, term } = effect;
      return { type: "ostiary.epoch.started", subject: `epochs/${epoch}`, data: { epoch, term } };
    }
    default:
      return unreachable(effect);
  }
}

type KeysEffect = Extract<Effect, { kind: "keys" }>;

/** Data bindings are stored as keys are. No event changes both. */
function isBindingsChange({ added, removed }: KeysEffect): boolean {
  return [...added.map(({ id }) => id), ...removed].some((id) => isBindingsRow({ id }));
}

/** Only names: the text has queries of an application. */
function bindingsChange({ added, removed }: KeysEffect) {
  const stored = added.map(bindingsNameOf);
  return { stored, removed: removed.map((id) => bindingsNameOf({ id })).filter((name) => !stored.includes(name)) };
}

/** A key whose secrets changed is among those added only. Old events have only the id of a removed key. */
function keyChange({ added, removed, replaced = [] }: KeysEffect) {
  const known = new Map(replaced.map((row) => [row.id, publicKey(row)]));
  const kept = new Set(added.map(({ id }) => keyIdOf(id)));
  const gone = removed.filter((id) => !kept.has(keyIdOf(id))).map((id) => known.get(id) ?? { id: keyIdOf(id) });
  return { added: added.map(publicKey), removed: gone.filter((key) => !("replaced" in key)) };
}

/** The public members of a secret. */
function publicKey(row: ApiKey) {
  const secret = secretOf(row);
  const { id, name, role, timeMs } = secret ?? { ...row, id: keyIdOf(row.id) };
  return {
    ...{ id, name, role, created: new Date(timeMs).toISOString() },
    ...(secret && publicGrant(secret)),
    ...(secret?.isReplaced === true && { replaced: true }),
    ...(secret?.hasExpired === true && { expired: true }),
  };
}
