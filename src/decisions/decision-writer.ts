/**
 * What the thread of the decision log does: it writes batches, removes what is too old or too much, and searches. A disk
 * that fails costs the decisions of that time, which are counted; the next batch tries again.
 */
import { existsSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { writeFileAtomically } from "../runtime/atomic-file.ts";
import { fetch } from "../runtime/fetch.ts";
import type { OtlpTarget } from "../telemetry/otlp-target.ts";
import { StoreFiles } from "../store/directory/store-files.ts";
import { AppError } from "../util/app-error.ts";
import { CheckedWallClock } from "../util/checked-wall-clock.ts";
import type { Clock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import { readRegularFileSync } from "../util/regular-file.ts";
import { isDamage, storageFailureIn } from "../util/storage-failure.ts";
import { exportDecisions } from "./decision-export.ts";
import { decodeEntries } from "./decision-entry.ts";
import { quarantine } from "./decision-file.ts";
import { type DecisionFilter, type DecisionPage, DecisionStore, type PageOptions } from "./decision-store.ts";
import type { LoggedDecision } from "./logged-decision.ts";
import type { Expectation, ParityPosition } from "./parity-reports.ts";
import { Redaction } from "./redaction.ts";

export interface DecisionLogOptions {
  readonly path: string;
  readonly bytesMax: number;
  readonly ageMs: number;
  /** The maximum number of parity reports. */
  readonly reportsMax: number;
  readonly omit: readonly string[];
  readonly hash: readonly string[];
  /** The secret of the hashes; without one a random secret is kept in a file beside the log. */
  readonly hashSecret: string | undefined;
  /** Where decisions are exported to, and the attributes of the node there; undefined if nothing is exported. */
  readonly exportTo: { readonly target: OtlpTarget; readonly attributes: Readonly<Record<string, string>> } | undefined;
  readonly clockSteadyMs: number;
  readonly trimIntervalMs: number;
}

/** Decisions in the form of `decision-entry.ts`. */
export interface DecisionBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly names: readonly string[];
  readonly count: number;
  /** Expectations about these decisions and earlier ones. */
  readonly expectations: readonly Expectation[];
  /** Decisions before these for which there was no room. */
  readonly dropped: number;
}

export interface WriteReport {
  readonly written: number;
  /** Decisions of the batch that could not be written. */
  readonly lost: number;
  readonly lastId: number;
}

/** What the thread reports without being asked. */
export type DecisionLogEvent =
  { readonly problem: string } | { readonly bytes: number } | { readonly pendingReports: number };

export type DecisionCommands = ReturnType<typeof decisionCommands>;

export function decisionCommands(writer: DecisionWriter) {
  return {
    open: (options: DecisionLogOptions) => writer.open(options),
    write: (batch: DecisionBatch) => writer.write(batch),
    read: (filter: DecisionFilter, page: Omit<PageOptions, "oldestMs">, logName?: string) =>
      writer.read(filter, page, logName),
    lastId: () => writer.lastId(),
    parity: (
      keyId: string | undefined,
      after: ParityPosition | undefined,
      page: Pick<PageOptions, "limit" | "bytesMax">,
    ) => writer.parity(keyId, after, page),
    find: (id: number, logName: string) => writer.find(id, logName),
  };
}

export class DecisionWriter {
  readonly #emit: (event: DecisionLogEvent) => void;
  readonly #clock: Clock;
  #options: DecisionLogOptions | undefined;
  #redaction: Redaction | undefined;
  #store: DecisionStore | undefined;
  /** Those of the open store: what is written into deleted ones is lost. */
  #files: StoreFiles | undefined;
  #wallClock: CheckedWallClock | undefined;
  /** How many decisions may still be removed because of their age, until the clock is checked again. */
  #agedMax: number | undefined;
  #cancelTrim: () => void = () => {};
  #cancelExport: () => void = () => {};
  /** Decisions that were counted but not written since the last written one. */
  #uncounted = 0;
  #rowsSinceCheck = 0;

  constructor(emit: (event: DecisionLogEvent) => void, clock: Clock) {
    this.#emit = emit;
    this.#clock = clock;
  }

  /** Does not fail if the file cannot be opened: each use tries again. */
  open(options: DecisionLogOptions): void {
    this.#options = options;
    this.#wallClock = new CheckedWallClock(this.#clock, options.clockSteadyMs);
    this.#cancelTrim = this.#clock.every(options.trimIntervalMs, () => this.#trim());
    if (options.exportTo !== undefined)
      this.#startExport(options.exportTo).catch((error: unknown) => this.#report(error));
    // A log of an earlier process is trimmed even if nothing is logged.
    if (existsSync(options.path)) this.#countReports();
  }

  write({ bytes, names, count, expectations, dropped }: DecisionBatch): WriteReport {
    const skipped = this.#uncounted + dropped;
    const written = this.#attempt(() => this.#opened().append(decodeEntries(bytes, names), skipped, expectations));
    if (written === undefined) {
      this.#uncounted = skipped + count;
      return { written: 0, lost: count, lastId: this.#store?.lastId ?? 0 };
    }
    this.#uncounted = written === 0 ? skipped : 0;
    if (expectations.length > 0) this.#countReports();
    this.#rowsSinceCheck += written;
    if (this.#rowsSinceCheck >= rowsPerCheck) this.#removeExcess();
    return { written, lost: 0, lastId: this.#store?.lastId ?? 0 };
  }

  /** `logName` is that of the token with `after`. */
  read(
    filter: DecisionFilter,
    page: Omit<PageOptions, "oldestMs">,
    logName?: string,
  ): DecisionPage & { readonly name: string } {
    return this.#reading((store) => {
      requireName(store, logName);
      return { name: store.name, ...store.read(filter, { ...page, oldestMs: this.#oldestMs }) };
    });
  }

  parity(keyId: string | undefined, after: ParityPosition | undefined, page: Pick<PageOptions, "limit" | "bytesMax">) {
    return this.#reading((store) => ({
      counts: store.parity.counts(keyId),
      ...store.parity.page(keyId, after, { ...page, oldestMs: this.#oldestMs }),
    }));
  }

  #countReports(): void {
    this.#attempt(() => {
      const store = this.#opened();
      store.parity.limit((this.#options ?? notOpened()).reportsMax);
      this.#emit({ pendingReports: store.parity.counts(undefined).pending });
    });
  }

  lastId(): string {
    return this.#reading((store) => store.idOf(store.lastId));
  }

  find(id: number, logName: string): LoggedDecision {
    return this.#reading((store) => {
      requireName(store, logName);
      const found = store.find(id, this.#oldestMs);
      if (found === undefined) throw unknownDecision();
      return found;
    });
  }

  close(): void {
    this.#cancelTrim();
    this.#cancelExport();
    this.#store?.close();
    this.#store = undefined;
  }

  /** The packages of OpenTelemetry are loaded only if they are used. */
  async #startExport({ target, attributes }: NonNullable<DecisionLogOptions["exportTo"]>): Promise<void> {
    const { otlpLogSender } = await import("../telemetry/otlp-logs.ts");
    const send = otlpLogSender(target, attributes, fetch);
    this.#cancelExport = exportDecisions({
      send,
      withStore: (body) => this.#attempt(() => body(this.#opened())),
      report: (error) => this.#report(new Error(`decisions cannot be exported to ${reasonOf(error)}`)),
      clock: this.#clock,
    });
  }

  /** Decisions from before this time do not exist any more, whether or not they are removed already. */
  get #oldestMs(): number {
    return this.#clock.wallMs() - (this.#options?.ageMs ?? 0);
  }

  #opened(): DecisionStore {
    if (this.#store !== undefined) {
      this.#files?.check();
      return this.#store;
    }
    const { path, omit, hash, hashSecret } = this.#options ?? notOpened();
    this.#redaction ??= new Redaction({
      omit,
      hash,
      // Parity reports have hashes of request ids that are left out.
      hashKey: hash.length === 0 && !omit.includes("request") ? new Uint8Array(1) : hashKeyOf(path, hashSecret),
    });
    const onDamage = (error: unknown): void => this.#report(error);
    this.#store = DecisionStore.open(path, this.#redaction, onDamage);
    this.#files = new StoreFiles(path);
    return this.#store;
  }

  /** Undefined if the disk fails. A damaged file is moved out of the way, so that the next attempt begins a new one. */
  #attempt<T>(body: () => T): T | undefined {
    try {
      return body();
    } catch (error) {
      this.#report(error);
      const path = this.#store?.path;
      try {
        this.#store?.close();
      } catch {
        // The file is unusable in any case.
      }
      this.#store = undefined;
      if (path !== undefined && isDamage(error)) this.#attempt(() => quarantine(path));
      return undefined;
    }
  }

  #reading<T>(body: (store: DecisionStore) => T): T {
    const result = this.#attempt(() => {
      try {
        return { value: body(this.#opened()) };
      } catch (error) {
        if (error instanceof AppError) return { error };
        throw error;
      }
    });
    if (result === undefined)
      throw new AppError("not_ready", "this node cannot read its decision log now, see its log for the reason");
    if ("error" in result) throw result.error;
    return result.value;
  }

  #report(error: unknown): void {
    this.#emit({ problem: storageFailureIn(error)?.detail ?? reasonOf(error) });
  }

  #removeExcess(): void {
    const { bytesMax } = this.#options ?? notOpened();
    this.#attempt(() => {
      const store = this.#opened();
      while (store.removeExcess(bytesMax)) {
        // Each step removes some thousand decisions.
      }
      this.#rowsSinceCheck = 0;
      this.#emit({ bytes: store.bytes });
    });
  }

  #trim(): void {
    if (this.#store === undefined) return;
    this.#removeExcess();
    const nowMs = this.#wallClock?.nowMs;
    if (nowMs === undefined) this.#agedMax = undefined;
    else this.#attempt(() => this.#removeAged(nowMs));
  }

  /** As with the log of changes, a wrong clock must not cost the whole log before somebody notices it. */
  #removeAged(nowMs: number): void {
    const store = this.#opened();
    const oldestMs = nowMs - (this.#options ?? notOpened()).ageMs;
    let left = this.#agedMax ?? Math.max(1, Math.floor(store.length * agedShareMax));
    for (let steps = 0; steps < trimSteps && left > 0; steps++) {
      const { removed, hasMore } = store.removeBefore(oldestMs, left);
      left -= removed;
      if (!hasMore) break;
    }
    this.#agedMax = left > 0 ? left : undefined;
    if (left <= 0) this.#wallClock?.restart();
    store.shrink();
  }
}

/** After so many rows the size is measured. */
const rowsPerCheck = 2000;
/** How many steps of some thousand decisions one run removes. */
const trimSteps = 20;
/** The largest part of the log that is removed by age before the wall clock is checked again. */
const agedShareMax = 0.1;

function requireName(store: DecisionStore, logName: string | undefined): void {
  if (logName !== undefined && logName !== store.name) throw unknownDecision();
}

function unknownDecision(): AppError {
  return new AppError(
    "not_found",
    "the log of this node does not have this decision: another node made it, or it was removed because of its age or the size of the log",
  );
}

function notOpened(): never {
  throw new Error("the decision log was not opened");
}

const keyBytesMax = 4096;

/** The secret of the hashes. A random one is kept in a file, so that hashes stay comparable over a restart. */
function hashKeyOf(path: string, secret: string | undefined): Uint8Array {
  if (secret !== undefined) return Buffer.from(secret);
  const file = `${path}.key`;
  if (!existsSync(file)) writeFileAtomically(file, randomBytes(32).toString("hex"));
  return readRegularFileSync(file, keyBytesMax).bytes;
}
