/**
 * The core of a write: it turns a request into an effect, and the effect into the next event of the log, in the
 * caller's transaction.
 */
import { hash } from "node:crypto";
import type { Limits } from "../../config/limits.ts";
import type { FactChange, Effect } from "../event/event.ts";
import { activationOf } from "../../policy/activation.ts";
import { readVersion } from "../../policy/policy-history.ts";
import { unknownNamesInFacts } from "../../policy/fact-names.ts";
import { storedText, type Author, type SourcePart } from "../../policy/stored-policy.ts";
import { resolveChanges } from "../state/resolve.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { findSecrets } from "../../store/keys/api-keys.ts";
import type { WriteRestriction } from "../../store/keys/key-grant.ts";
import { auditEntry, type AuditDraft } from "../../store/log/audit-entry.ts";
import { addAuditEntries } from "../../store/log/audit-log.ts";
import { findIdempotencyRecord } from "../../store/log/idempotency.ts";
import { epochAt, readEpochs } from "../../store/log/epochs.ts";
import type { Log, StoredLogRow } from "../../store/log/log.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { preciseNow } from "../../util/clock.ts";
import { chainHash } from "../event/position.ts";
import { commitEvent, factCounts } from "./commit-event.ts";
import { eventTime } from "../event/event-time.ts";
import { decideKeys, type KeyChanges } from "./key-changes.ts";
import { noApproval, type PolicyApproval } from "./policy-approval.ts";
import { requireRestriction } from "./write-restriction.ts";

export type WriteRequest =
  | { readonly kind: "batch"; readonly changes: readonly FactChange[] }
  | (PolicyUpload & { readonly kind: "policy" })
  | { readonly kind: "clear" }
  | (KeyChanges & { readonly kind: "keys" })
  | { readonly kind: "epoch"; readonly epoch: string; readonly term: number };

export interface PolicyUpload {
  readonly source: string;
  readonly filename: string | null;
  /** Whether the policy may become active without its tests. */
  readonly force: boolean;
  /** Why it is uploaded. The author of the version is the sender in `WriteMeta`. */
  readonly message?: string | undefined;
  /** The files that the source was joined from, if there were several. */
  readonly parts?: readonly SourcePart[] | undefined;
  /** The id of the only policy that it may replace; 0 for none. Undefined if it may replace any. */
  readonly replaces?: number | undefined;
}

export interface WriteMeta {
  /** The trace context of the request, if it is sampled. */
  readonly traceparent: string | null;
  /** Unique for the sender. A repeated request gets the first result and changes nothing. */
  readonly idempotencyKey?: string;
  /** The `idempotencyDigest` of the request, if the caller knows it. */
  readonly digest?: string | undefined;
  /** When the request was sent, in ms since 1970. The default is the current time. */
  readonly timeMs?: number;
  /** The id of the API key or the person who sends it. Long-running work is divided fairly among senders. */
  readonly sender?: string;
  /** The name of a person; that of an API key is in the database. */
  readonly senderName?: string | null;
  /** The facts that the sender may change. Without it, the sender may change all facts and the policy. */
  readonly restriction?: WriteRestriction | undefined;
  /** For an action of an administrator: its entry in the audit log, and the id of this node. */
  readonly audit?: { readonly draft: AuditDraft; readonly node: string | null } | undefined;
  /** The result of the policy check. An upload without it is refused, unless the policy is already the active one. */
  readonly approval?: PolicyApproval;
}

export interface WriteResult {
  readonly epoch: string;
  readonly offset: number;
  readonly timeMs: number;
  /** When the event was on disk, in ms since 1970 with a fraction. The event's own time is when it was requested. */
  readonly committedMs?: number;
  /** Number of facts that the batch inserted and deleted. */
  readonly inserted?: number;
  readonly deleted?: number;
  /** One sentence for each name in the inserted facts that the policy does not have: such a fact has no effect. */
  readonly unknown?: readonly string[];
  /** The id of the policy that the upload made active, or that is active without a change. */
  readonly policyId?: number;
  /** A warning about an accepted policy, as a sentence. */
  readonly warning?: string;
  /** True if the request changes nothing: no event was appended, and the position is the current one. */
  readonly unchanged?: boolean;
  /** True if the request was done before: no event was appended, and the position is the original one. */
  readonly repeated?: boolean;
}

export interface Appended {
  readonly result: WriteResult;
  /** When work on the request began and when its effect was known, in ms since 1970, for the spans. */
  readonly startMs: number;
  readonly decidedMs: number;
  /** The row in the log; undefined if no event was appended. */
  readonly row: StoredLogRow | undefined;
}

/** An event that is about to be applied and committed, after the state before it. Its digest is not known yet. */
export interface NextEvent {
  readonly before: StoreState;
  readonly row: StoredLogRow;
}

/** Runs in the caller's transaction. AppError if the request is refused; `admit` may refuse before anything changes. */
export function append(
  store: Connection,
  log: Log,
  request: WriteRequest,
  meta: WriteMeta,
  limits: Limits,
  admit: (effect: Effect, next: NextEvent) => void = () => {},
): Appended {
  const startMs = preciseNow();
  const digest = meta.digest ?? idempotencyDigest(request, meta);
  const earlier = digest === undefined ? undefined : recordedResult(store, log, digest);
  if (earlier !== undefined) return { result: earlier, startMs, decidedMs: preciseNow(), row: undefined };
  const requestedMs = meta.timeMs ?? Date.now();
  const effect = decide(store, request, meta, limits);
  const decidedMs = preciseNow();
  if (effect === undefined) {
    const { epoch, offset, timeMs, policyId } = readState(store);
    const active = request.kind === "policy" ? { policyId } : {};
    return { result: { epoch, offset, timeMs, unchanged: true, ...active }, startMs, decidedMs, row: undefined };
  }
  const identified = withIdempotencyDigest(effect, digest);
  const { written, row } = appendEffect(store, log, identified, requestedMs, meta.traceparent, limits, admit);
  addAuditEntry(store, meta, effect, written);
  return { result: { ...written, ...policyResult(effect), ...unknownIn(store, effect) }, startMs, decidedMs, row };
}

function unknownIn(store: Connection, effect: Effect): Pick<WriteResult, "unknown"> {
  const active = effect.kind === "facts" ? activationOf(store)?.active : undefined;
  if (effect.kind !== "facts" || active === undefined) return {};
  const unknown = unknownNamesInFacts(effect.inserted, active);
  return unknown.length === 0 ? {} : { unknown };
}

/** In the transaction of the event, so that neither is without the other. */
function addAuditEntry(
  store: Connection,
  { audit }: WriteMeta,
  effect: Effect,
  { epoch, offset, timeMs }: WriteResult,
): void {
  if (audit === undefined) return;
  const { draft, node } = audit;
  const entry = auditEntry(effect.kind === "policy" ? { ...draft, target: String(effect.id) } : draft, {
    node,
    timeMs,
  });
  addAuditEntries(store, [{ ...entry, epoch, offset }], { received: false, hasEvent: true });
}

/** The effect of a request on the current state, or `undefined` if it has none. */
function decide(store: Connection, request: WriteRequest, meta: WriteMeta, limits: Limits): Effect | undefined {
  if (meta.restriction !== undefined) requireRestriction(meta.restriction, request);
  switch (request.kind) {
    case "batch": {
      const effect = resolveChanges(store, request.changes, limits);
      return effect.inserted.length + effect.deleted.length === 0 ? undefined : effect;
    }
    case "policy":
      return decidePolicy(store, request, meta);
    case "clear":
      return { kind: "clear" };
    case "keys":
      return decideKeys(store, request);
    case "epoch":
      return decideEpoch(store, request);
  }
}

/**
 * Throws `conflict` if the policy was checked against another policy than the active one; with details if it may only
 * replace another one.
 */
function decidePolicy(
  store: Connection,
  request: WriteRequest & { kind: "policy" },
  { approval = noApproval, sender, senderName }: WriteMeta,
): Effect | undefined {
  const { source, filename, message = null, parts } = request;
  const { policyId } = readState(store);
  const active = readVersion(store, policyId);
  // A client that names no files does not mean to change them.
  const hasSameFiles = parts === undefined || JSON.stringify(parts) === JSON.stringify(active?.parts);
  if (active?.source === source && active.filename === filename && hasSameFiles) return undefined;
  if (request.replaces !== undefined && request.replaces !== policyId) throw replacedMeanwhile(policyId);
  const { replaces, warning } = approval;
  if (replaces !== policyId) throw new AppError("conflict", "the policy was not checked against the active one");
  const id = 1 + Number(store.statement("SELECT coalesce(max(id), 0) FROM policy").values()[0]?.[0]);
  const text = storedText(id, { source, author: authorOf(store, sender, senderName), message, parts });
  return { kind: "policy", id, source: text, filename, ...(warning === undefined ? {} : { warning }) };
}

function replacedMeanwhile(active: number): AppError {
  const message = `another policy is active than the one to replace: version ${active}; compare both, and send it again`;
  return new AppError("conflict", message, { details: { message, active } });
}

function authorOf(
  store: Connection,
  sender: string | undefined,
  name: string | null | undefined = sender && findSecrets(store, sender)[0]?.name,
): Author | null {
  return sender ? { id: sender, name: name ?? null } : null;
}

function decideEpoch(store: Connection, { epoch, term }: WriteRequest & { kind: "epoch" }): Effect {
  const current = readState(store).term;
  if (term <= current)
    throw new AppError("conflict", `the term ${term} does not come after the current one, ${current}`);
  return { kind: "epoch", epoch, term };
}

function appendEffect(
  store: Connection,
  log: Log,
  effect: Effect,
  requestedMs: number,
  traceparent: string | null,
  limits: Limits,
  admit: (effect: Effect, next: NextEvent) => void,
): { readonly written: WriteResult; readonly row: StoredLogRow } {
  const state = readState(store);
  const timeMs = eventTime(requestedMs, state.timeMs);
  const row = { offset: state.offset + 1, timeMs, kind: effect.kind, body: JSON.stringify(effect), traceparent };
  const hash = chainHash(state.hash, row);
  admit(effect, { before: state, row: { ...row, hash, digest: null } });
  const stored = commitEvent(store, log, state, row, effect, limits, hash);
  const epoch = effect.kind === "epoch" ? effect.epoch : state.epoch;
  return { written: { epoch, offset: row.offset, timeMs, ...factCounts(effect) }, row: stored };
}

/** 32 hex digits that identify a request of a sender. They cover the content, as a key may be reused by mistake. */
export function idempotencyDigest(request: WriteRequest, meta: WriteMeta): string | undefined {
  return meta.idempotencyKey === undefined ? undefined : digestOf(meta.idempotencyKey, JSON.stringify(request));
}

/** The same for a batch whose changes are JSON, as `JSON.stringify` writes it: a large batch is not written again. */
export function batchDigest(changes: string, meta: WriteMeta): string | undefined {
  if (meta.idempotencyKey === undefined) return undefined;
  return digestOf(meta.idempotencyKey, `{"kind":"batch","changes":${changes}}`);
}

function digestOf(idempotencyKey: string, request: string): string {
  return hash("sha256", `[${JSON.stringify(idempotencyKey)},${request}]`, "hex").slice(0, 32);
}

/** Requests for keys are excluded: the key is made for one response and cannot be sent again. */
function withIdempotencyDigest(effect: Effect, request: string | undefined): Effect {
  if (request === undefined || effect.kind === "keys" || effect.kind === "epoch") return effect;
  return { ...effect, request };
}

/** The result of an earlier execution of the request. Without `policyResult` if the log no longer has the event. */
function recordedResult(store: Connection, log: Log, digest: string): WriteResult | undefined {
  const found = findIdempotencyRecord(store, digest);
  if (found === undefined) return undefined;
  // The epoch of that time: nodes that do not know later epochs know this position.
  const { epoch } = epochAt(readEpochs(store), found.offset);
  const row = log.rowAt(found.offset);
  const policy = row?.kind === "policy" ? policyResult(JSON.parse(row.body) as Effect) : {};
  return { epoch, timeMs: readState(store).timeMs, ...found, ...policy, repeated: true };
}

function policyResult(effect: Effect): Pick<WriteResult, "policyId" | "warning"> {
  if (effect.kind !== "policy") return {};
  const { id: policyId, warning } = effect;
  return warning === undefined ? { policyId } : { policyId, warning };
}
