/**
 * The heart of a write: what a request asks for becomes an effect, the effect becomes the next event, and event row, state change and new
 * position go into the caller's transaction together. So the log never holds an event that was not applied, nor the other way round.
 */
import type { Limits } from "../config/limits.ts";
import { applyEvent } from "../engine/apply.ts";
import type { ApiKey, Change, Effect, Event } from "../engine/event.ts";
import { activationOf } from "../engine/active-policies.ts";
import { describeOrphans, findOrphans } from "../engine/orphans.ts";
import { acceptPolicy } from "../engine/policy-refusal.ts";
import { resolveChanges } from "../engine/resolve.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import type { Log } from "../store/log.ts";
import { advanceState, readState } from "../store/state.ts";
import { statement } from "../store/statements.ts";
import { AppError } from "../util/app-error.ts";
import { chainHash } from "./position.ts";

/** What can be asked of the writer. */
export type WriteRequest =
  | { readonly kind: "batch"; readonly changes: readonly Change[] }
  | { readonly kind: "policy"; readonly source: string; readonly filename: string | null; readonly force: boolean }
  | { readonly kind: "clear" }
  | { readonly kind: "keys"; readonly add: readonly ApiKey[]; readonly remove: readonly string[] };

export interface WriteMeta {
  /** Trace context of the request, where it is sampled. */
  readonly traceparent: string | null;
}

export interface WriteResult {
  readonly epoch: string;
  readonly offset: number;
  readonly timeMs: number;
  /** Facts really inserted and deleted by a batch. */
  readonly inserted?: number;
  readonly deleted?: number;
  /** What there is to say of a policy that was taken all the same, as a sentence. */
  readonly warning?: string;
  /** True where the request asked for what is already so: nothing was appended, and the position is the present one. */
  readonly unchanged?: boolean;
}

export interface Appended {
  readonly result: WriteResult;
  /** When work on the request began, and when it was clear what its effect is: in ms since 1970, for the spans made of them. */
  readonly startMs: number;
  readonly decidedMs: number;
}

/** Decides, applies and appends one request inside the caller's transaction. Throws an AppError where the request is refused. */
export function append(store: SqlDatabase, log: Log, request: WriteRequest, meta: WriteMeta, limits: Limits): Appended {
  const startMs = preciseNow();
  const { effect, warning } = decide(store, request, limits);
  const decidedMs = preciseNow();
  const written = effect === undefined ? presentPosition(store) : appendEffect(store, log, effect, meta, limits);
  const result = warning === undefined ? written : { ...written, warning };
  return { result, startMs, decidedMs };
}

interface Decision {
  /** The effect of a request on the present state, or `undefined` where it has none. */
  readonly effect: Effect | undefined;
  readonly warning?: string;
}

function decide(store: SqlDatabase, request: WriteRequest, limits: Limits): Decision {
  switch (request.kind) {
    case "batch": {
      const effect = resolveChanges(store, request.changes, limits);
      return { effect: effect.inserted.length + effect.deleted.length === 0 ? undefined : effect };
    }
    case "policy":
      return decidePolicy(store, request, limits);
    case "clear":
      return { effect: { kind: "clear" } };
    case "keys":
      return { effect: decideKeys(store, request) };
  }
}

function decidePolicy(store: SqlDatabase, request: WriteRequest & { kind: "policy" }, limits: Limits): Decision {
  const { source, filename, force } = request;
  const active = statement(store, "SELECT source, filename FROM policy WHERE id = ?1").values(
    readState(store).policyId,
  )[0];
  if (active !== undefined && active[0] === source && active[1] === filename) return { effect: undefined };
  const sources = [{ name: filename || "policy.polar", text: source }];
  const { active: next, warnings } = acceptPolicy(sources, { runTests: !force, limits });
  const orphans = findOrphans(store, activationOf(store)?.active, next);
  const notes = [
    ...(warnings > 0
      ? [`it has ${warnings} warning${warnings > 1 ? "s" : ""}, which \`POST /api/validate\` lists`]
      : []),
    ...(orphans.length > 0 ? [describeOrphans(orphans)] : []),
  ];
  const lastId = Number(statement(store, "SELECT coalesce(max(id), 0) FROM policy").values()[0]?.[0]);
  return {
    effect: { kind: "policy", id: lastId + 1, source, filename },
    ...(notes.length > 0 && { warning: notes.join("; ") }),
  };
}

function decideKeys(store: SqlDatabase, request: WriteRequest & { kind: "keys" }): Effect | undefined {
  const stored = statement(store, "SELECT hash, role, name FROM api_key WHERE id = ?1");
  const added = request.add.filter(({ id, hash, role, name }) => {
    const [known] = stored.values(id);
    return known?.[0] !== hash || known[1] !== role || known[2] !== name;
  });
  const removed = request.remove.filter((id) => stored.values(id).length > 0);
  if (added.length + removed.length === 0) return undefined;
  requireAdminLeft(store, added, removed);
  return { kind: "keys", added, removed };
}

/** Without an admin nobody could ever make a key again. Asked in the transaction, because of two admins who remove each other. */
function requireAdminLeft(store: SqlDatabase, added: readonly ApiKey[], removed: readonly string[]): void {
  const admins = statement(store, "SELECT id FROM api_key WHERE role = 'admin'")
    .values()
    .map((row) => String(row[0]));
  const last = admins.find((id) => removed.includes(id));
  const left = admins.some((id) => !removed.includes(id)) || added.some(({ role }) => role === "admin");
  if (last !== undefined && !left)
    throw new AppError("conflict", `\`${last}\` is the last key with the role \`admin\`, make another one first`);
}

function appendEffect(store: SqlDatabase, log: Log, effect: Effect, meta: WriteMeta, limits: Limits): WriteResult {
  const state = readState(store);
  // Never backwards, so that offsets and times have the same order even where the clock is set back.
  const timeMs = Math.max(Date.now(), state.timeMs);
  const event: Event = { offset: state.offset + 1, timeMs, traceparent: meta.traceparent, effect };
  const row = {
    offset: event.offset,
    timeMs,
    kind: effect.kind,
    body: JSON.stringify(effect),
    traceparent: meta.traceparent,
  };
  const hash = chainHash(state.hash, row);
  applyEvent(store, event, limits);
  log.append({ ...row, hash });
  advanceState(store, { offset: event.offset, hash, timeMs });
  const counts = effect.kind === "facts" ? { inserted: effect.inserted.length, deleted: effect.deleted.length } : {};
  return { epoch: state.epoch, offset: event.offset, timeMs, ...counts };
}

function presentPosition(store: SqlDatabase): WriteResult {
  const { epoch, offset, timeMs } = readState(store);
  return { epoch, offset, timeMs, unchanged: true };
}

/** Wall clock with a fraction of a millisecond, comparable between threads of one process. */
export function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}
