/**
 * An entry of the audit log: who did what to this environment as an administrator, from where, and with which result.
 * It contains no secrets and no source of a policy. Nodes exchange entries, so every received one is checked here.
 */
import { z } from "zod";
import { recordOf } from "../../util/bounded-schema.ts";
import { timeMsMax } from "../../util/clock.ts";
import { clip } from "../../util/text-length.ts";

/** The audited actions. A later version can have more: entries of other nodes may have any name of this form. */
export type AuditAction =
  | "policy.upload"
  | "policy.rollback"
  | "key.create"
  | "key.rotate"
  | "key.delete"
  | "bindings.put"
  | "bindings.delete"
  | "environment.create"
  | "environment.rename"
  | "environment.delete"
  | "environment.restore"
  | "environment.abandon"
  | "environment.key"
  | "environment.complete"
  | "facts.clear"
  | "node.start"
  | "node.promote"
  | "backup.download"
  | "snapshot.download"
  | "snapshot.import"
  | "data.migrate"
  | "history.adopt"
  | "history.abandon"
  | "restore";

/**
 * `unchanged`: the action was allowed and had nothing to do. `failed`: the node could not do it, and nothing was done.
 * `uncertain`: it failed, and may have been done nevertheless.
 */
export const auditResults = ["ok", "unchanged", "refused", "failed", "uncertain"] as const;
export type AuditResult = (typeof auditResults)[number];

const textCharactersMax = 1024;
const nameCharactersMax = 256;
const detailsMax = 16;

/** Made at its first use, because it would take each thread 2 ms of its start. */
export const auditEntrySchema = z.lazy(() => {
  const name = z.string().max(nameCharactersMax);
  const text = z.string().max(textCharactersMax);
  const detail = z.union([text, z.number(), z.boolean(), z.null()]);
  /**
   * `kind`: `key` (an API key), `node` (the node key), `operator` (the command line or the configuration), `system` (a
   * node by itself) or `unknown` (a request without a valid key).
   */
  const actor = z.object({ kind: name, id: name.nullable(), name: text.nullable() });
  return z.object({
    /** Unique; the same on all nodes. */
    id: z.string().regex(/^[0-9a-f-]{36}$/),
    timeMs: z.number().int().nonnegative().max(timeMsMax),
    /** The id of the node that did or refused it; null if it was a command without a node. */
    node: name.nullable(),
    actor,
    /** The IP address of the client; null if there was none, or it is unknown. */
    address: name.nullable(),
    /** The trusted proxy that named this address. */
    proxy: name.nullable(),
    /** The node that forwarded the request. */
    via: name.nullable(),
    action: z
      .string()
      .regex(/^[a-z][a-z_]*(?:\.[a-z_]+)?$/)
      .max(64),
    target: text.nullable(),
    details: recordOf(detail, { max: detailsMax, keyBytesMax: 64 }),
    /** One of `auditResults`, or another one of a later version. */
    result: z.string().regex(/^[a-z_]{1,32}$/),
    /** The code of the error if it was refused or failed. */
    code: name.nullable(),
    requestId: name.nullable(),
    traceId: name.nullable(),
    /** The position of the event that it made; null if it made none. */
    epoch: name.nullable(),
    offset: z.number().int().positive().nullable(),
  });
});
export type AuditEntry = Readonly<z.output<typeof auditEntrySchema>>;
export type AuditDetails = AuditEntry["details"];

/** What is known of an action before its result. */
export type AuditDraft = Pick<AuditEntry, "actor"> & { readonly action: AuditAction } & Partial<
    Omit<AuditEntry, "id" | "timeMs" | "node" | "actor" | "action" | "result" | "code" | "epoch" | "offset">
  >;

/** The actor of a command. `name` is the user of the system who runs it, if it is known. */
export function operator(name: string | null = null): AuditEntry["actor"] {
  return { kind: "operator", id: null, name };
}

export interface AuditOutcome {
  readonly result?: AuditResult;
  /** Of the error, if it was refused or failed. */
  readonly code?: string | null;
}

/** The millisecond of the last id, and how many ids of it there are. */
const last = { timeMs: 0, ids: 0 };

/**
 * A UUID of version 7 (RFC 9562, 5.7 and 6.2, method 1). Entries are read by time and id, so those that this process
 * makes in one millisecond are in their order: up to 4,096 of them, which takes longer.
 */
function nextId(timeMs: number): string {
  const time = Math.min(Math.max(0, timeMs), 2 ** 48 - 1)
    .toString(16)
    .padStart(12, "0");
  last.ids = last.timeMs === timeMs ? last.ids + 1 : 0;
  last.timeMs = timeMs;
  const count = (last.ids & 0xfff).toString(16).padStart(3, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}${crypto.randomUUID().slice(18)}`;
}

/** An entry without an event. Long texts are cut, so that each entry is one that other nodes accept. */
export function auditEntry(
  draft: AuditDraft,
  { node, timeMs }: Pick<AuditEntry, "node" | "timeMs">,
  { result = "ok", code = null }: AuditOutcome = {},
): AuditEntry {
  const { actor, action, address = null, proxy = null, via = null, target = null, details = {} } = draft;
  const { requestId = null, traceId = null } = draft;
  const cut = (given: string | null, max = nameCharactersMax): string | null => given && clip(given, max - 1);
  return {
    id: nextId(timeMs),
    timeMs,
    node,
    actor: { kind: actor.kind, id: cut(actor.id), name: cut(actor.name, textCharactersMax) },
    address: cut(address),
    proxy: cut(proxy),
    via: cut(via),
    action,
    target: cut(target, textCharactersMax),
    details: Object.fromEntries(
      Object.entries(details).map(([key, value]) => [
        key,
        typeof value === "string" ? cut(value, textCharactersMax) : value,
      ]),
    ),
    result,
    code: cut(code),
    requestId: cut(requestId),
    traceId: cut(traceId),
    epoch: null,
    offset: null,
  };
}
