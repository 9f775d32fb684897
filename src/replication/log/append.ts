/** The heart of a write: what a request asks for becomes an effect, and the effect becomes the next event, in the caller's transaction. */
import { hash } from "node:crypto";
import type { Limits } from "../../config/limits.ts";
import type { ApiKey, FactChange, Effect } from "../../engine/state/event.ts";
import { approvePolicy, type PolicyApproval } from "../../engine/validation/policy-approval.ts";
import { resolveChanges } from "../../engine/state/resolve.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { findIdempotencyRecord } from "../../store/log/idempotency.ts";
import { epochAt, readEpochs } from "../../store/log/epochs.ts";
import type { Log, StoredLogRow } from "../../store/log/log.ts";
import * as schema from "../../store/connection/schema.ts";
import { readState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { preciseNow } from "../../util/clock.ts";
import { chainHash } from "../position.ts";
import { commitEvent, factCounts } from "./commit-event.ts";
import { eventTime } from "./event-time.ts";

/** What can be asked of the writer. */
export type WriteRequest =
  | { readonly kind: "batch"; readonly changes: readonly FactChange[] }
  | { readonly kind: "policy"; readonly source: string; readonly filename: string | null; readonly force: boolean }
  | { readonly kind: "clear" }
  | { readonly kind: "keys"; readonly add: readonly ApiKey[]; readonly remove: readonly string[] }
  | { readonly kind: "epoch"; readonly epoch: string; readonly term: number };

export interface WriteMeta {
  /** Trace context of the request, where it is sampled. */
  readonly traceparent: string | null;
  /** What its sender calls the request, unique to the sender: the same one, sent again, is answered again and not done again. */
  readonly idempotencyKey?: string;
  /** When it was asked for, in ms since 1970; now, where it is not given. */
  readonly timeMs?: number;
  /** The API key that sent it: work that takes long is shared out among keys. */
  readonly sender?: string;
  /** The verdict on the policy of the request. Without one the policy is checked in the transaction, which blocks all other writes meanwhile. */
  readonly approval?: PolicyApproval;
}

export interface WriteResult {
  readonly epoch: string;
  readonly offset: number;
  readonly timeMs: number;
  /** When it was on disk, in ms since 1970 with a fraction; the time of the event is when it was asked for. */
  readonly committedMs?: number;
  /** Facts really inserted and deleted by a batch. */
  readonly inserted?: number;
  readonly deleted?: number;
  /** What there is to say of a policy that was taken all the same, as a sentence. */
  readonly warning?: string;
  /** True where the request asked for what is already so: nothing was appended, and the position is the present one. */
  readonly unchanged?: boolean;
  /** True where the request had been done before: nothing was appended, and the position is the one of then. */
  readonly repeated?: boolean;
}

export interface Appended {
  readonly result: WriteResult;
  /** When work on the request began, and when it was clear what its effect is: in ms since 1970, for the spans made of them. */
  readonly startMs: number;
  readonly decidedMs: number;
  /** What it is in the log; undefined where nothing was appended. */
  readonly row: StoredLogRow | undefined;
}

/**
 * Decides, applies and appends one request inside the caller's transaction. Throws an AppError where the request is refused. `admit` is called before the
 * effect is applied, and throws where there is no space for it.
 */
export function append(
  store: Connection,
  log: Log,
  request: WriteRequest,
  meta: WriteMeta,
  limits: Limits,
  admit: () => void = () => {},
): Appended {
  const startMs = preciseNow();
  const name = idempotencyDigest(request, meta);
  const earlier = name === undefined ? undefined : recordedResult(store, log, name);
  if (earlier !== undefined) return { result: earlier, startMs, decidedMs: preciseNow(), row: undefined };
  const wanted = meta.timeMs ?? Date.now();
  const effect = decide(store, request, meta.approval, limits);
  const decidedMs = preciseNow();
  const named = effect === undefined ? undefined : withIdempotencyDigest(effect, name);
  const { written, row } =
    named === undefined
      ? { written: currentPosition(store), row: undefined }
      : appendEffect(store, log, named, wanted, meta.traceparent, limits, admit);
  return { result: { ...written, ...warningOf(effect) }, startMs, decidedMs, row };
}

/** The effect of a request on the present state, or `undefined` where it has none. */
function decide(
  store: Connection,
  request: WriteRequest,
  approval: PolicyApproval | undefined,
  limits: Limits,
): Effect | undefined {
  switch (request.kind) {
    case "batch": {
      const effect = resolveChanges(store, request.changes, limits);
      return effect.inserted.length + effect.deleted.length === 0 ? undefined : effect;
    }
    case "policy":
      return decidePolicy(store, request, approval, limits);
    case "clear":
      return { kind: "clear" };
    case "keys":
      return decideKeys(store, request);
    case "epoch":
      return decideEpoch(store, request);
  }
}

/** Throws `conflict` where the verdict was reached under another active policy than the present one. */
function decidePolicy(
  store: Connection,
  request: WriteRequest & { kind: "policy" },
  approval: PolicyApproval | undefined,
  limits: Limits,
): Effect | undefined {
  const { source, filename, force } = request;
  const { policyId } = readState(store);
  const active = store.statement("SELECT source, filename FROM policy WHERE id = ?1").values(policyId)[0];
  if (active !== undefined && active[0] === source && active[1] === filename) return undefined;
  const { replaces, warning } =
    approval ?? approvePolicy({ source, filename, runTests: !force }, limits, (body) => body(store));
  if (replaces !== policyId) throw new AppError("conflict", "the policy was not checked against the active one");
  const lastId = Number(store.statement("SELECT coalesce(max(id), 0) FROM policy").values()[0]?.[0]);
  return { kind: "policy", id: lastId + 1, source, filename, ...(warning === undefined ? {} : { warning }) };
}

function decideKeys(store: Connection, request: WriteRequest & { kind: "keys" }): Effect | undefined {
  const stored = store.statement("SELECT hash, role, name FROM api_key WHERE id = ?1");
  const added = request.add.filter(({ id, hash, role, name }) => {
    const [known] = stored.values(id);
    return known?.[0] !== hash || known[1] !== role || known[2] !== name;
  });
  const removed = request.remove.filter((id) => stored.values(id).length > 0);
  if (added.length + removed.length === 0) return undefined;
  requireAdminLeft(store, added, removed);
  const gone = new Set([...removed, ...added.map(({ id }) => id)]);
  const replaced = store.orm
    .select()
    .from(schema.apiKey)
    .all()
    .filter(({ id }) => gone.has(id));
  return { kind: "keys", added, removed, replaced };
}

function decideEpoch(store: Connection, { epoch, term }: WriteRequest & { kind: "epoch" }): Effect {
  const present = readState(store).term;
  if (term <= present)
    throw new AppError("conflict", `the term ${term} does not come after the present one, ${present}`);
  return { kind: "epoch", epoch, term };
}

/** Without an admin nobody could ever make a key again. Asked in the transaction, because of two admins who remove each other. */
function requireAdminLeft(store: Connection, added: readonly ApiKey[], removed: readonly string[]): void {
  const admins = store
    .statement("SELECT id FROM api_key WHERE role = 'admin'")
    .values()
    .map((row) => String(row[0]));
  const last = admins.find((id) => removed.includes(id));
  const left = admins.some((id) => !removed.includes(id)) || added.some(({ role }) => role === "admin");
  if (last !== undefined && !left)
    throw new AppError("conflict", `\`${last}\` is the last key with the role \`admin\`, make another one first`);
}

function appendEffect(
  store: Connection,
  log: Log,
  effect: Effect,
  wantedMs: number,
  traceparent: string | null,
  limits: Limits,
  admit: () => void,
): { readonly written: WriteResult; readonly row: StoredLogRow } {
  const state = readState(store);
  const timeMs = eventTime(wantedMs, state.timeMs);
  const row = { offset: state.offset + 1, timeMs, kind: effect.kind, body: JSON.stringify(effect), traceparent };
  const hash = chainHash(state.hash, row);
  admit();
  const stored = commitEvent(store, log, state, row, effect, limits, hash);
  const epoch = effect.kind === "epoch" ? effect.epoch : state.epoch;
  return { written: { epoch, offset: row.offset, timeMs, ...factCounts(effect) }, row: stored };
}

/** 32 hexadecimal digits, the same for the same request of the same sender. Its content is part of it: a name alone may be used again by mistake. */
export function idempotencyDigest(request: WriteRequest, { idempotencyKey: name }: WriteMeta): string | undefined {
  if (name === undefined) return undefined;
  return hash("sha256", JSON.stringify([name, request]), "hex").slice(0, 32);
}

/** Keys are not among them: a key is made for one answer, and nobody could send that again. */
function withIdempotencyDigest(effect: Effect, request: string | undefined): Effect {
  if (request === undefined || effect.kind === "keys" || effect.kind === "epoch") return effect;
  return { ...effect, request };
}

/** The answer that the request got before, where it was done already; without its warning where the log has the event no more. */
function recordedResult(store: Connection, log: Log, name: string): WriteResult | undefined {
  const found = findIdempotencyRecord(store, name);
  if (found === undefined) return undefined;
  // Of then: nodes that have not heard of a later epoch know the position too.
  const { epoch } = epochAt(readEpochs(store), found.offset);
  const row = log.rowAt(found.offset);
  const warning = row?.kind === "policy" ? warningOf(JSON.parse(row.body) as Effect) : {};
  return { epoch, timeMs: readState(store).timeMs, ...found, ...warning, repeated: true };
}

function warningOf(effect: Effect | undefined): Pick<WriteResult, "warning"> {
  return effect?.kind === "policy" && effect.warning !== undefined ? { warning: effect.warning } : {};
}

function currentPosition(store: Connection): WriteResult {
  const { epoch, offset, timeMs } = readState(store);
  return { epoch, offset, timeMs, unchanged: true };
}
