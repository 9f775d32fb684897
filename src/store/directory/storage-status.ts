/**
 * The status of a node's storage: for `/readyz`, for the metrics, and for the log after each change. Each part of the
 * node that writes reports when it fails and when it works again. No storage failure ends the node.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import {
  describeStorageFailure,
  publicStorageProblem,
  storageFailureIn,
  type StorageFailure,
} from "../../util/storage-failure.ts";

const log = getLogger("storage");

/** The messages for each part of the data that is written. The first ones explain why writes are refused. */
const parts = {
  database: { fails: "the database cannot be written", works: "the database can be written again" },
  lock: {
    fails: "the data directory is not locked for this node",
    works: "the data directory is locked for this node again",
  },
  position: { fails: "the position cannot be recorded", works: "the position is recorded again" },
  snapshot: { fails: "a snapshot cannot be stored", works: "snapshots can be stored again" },
  events: {
    fails: "events that only this node has cannot be saved",
    works: "the events that only this node has are saved",
  },
} as const;
export type StoragePart = keyof typeof parts;

export class StorageStatus {
  readonly #problems = new Map<StoragePart, string>();

  /** The most serious problem of the storage, without private details. Undefined if there is none. */
  get problem(): string | undefined {
    const names = Object.keys(parts) as readonly StoragePart[];
    return names.map((part) => this.#problems.get(part)).find((problem) => problem !== undefined);
  }

  /** Writing this part failed at `path`. Each failure is counted; it is logged if the reason has changed. */
  failed(part: StoragePart, error: unknown, path: string): void {
    const failure = storageFailureIn(error);
    if (failure !== undefined) return this.set(part, failure, path);
    this.#record(part, "other", parts[part].fails, `${parts[part].fails} at \`${path}\`: ${reasonOf(error)}`);
  }

  /** The same with a known failure. Undefined means that writing works. */
  set(part: StoragePart, failure: StorageFailure | undefined, path: string): void {
    if (failure === undefined) return this.recovered(part);
    const problem = `${parts[part].fails}: ${publicStorageProblem(failure.reason)}`;
    this.#record(part, failure.reason, problem, `${parts[part].fails}: ${describeStorageFailure(failure, path)}`);
  }

  /** The next role of the node writes other parts, and reports their failures itself. */
  endRole(): void {
    for (const part of ["position", "snapshot", "events"] as const) this.#problems.delete(part);
  }

  recovered(part: StoragePart): void {
    if (this.#problems.delete(part)) log.warning("{text}", { text: parts[part].works });
  }

  #record(part: StoragePart, reason: string, problem: string, logged: string): void {
    metrics.storageFailures.inc({ reason });
    if (this.#problems.get(part) === problem) return;
    this.#problems.set(part, problem);
    log.error("{text}", { text: logged });
  }
}

const warningIntervalMs = 10_000;

/** Limits the log lines about failed requests: while the storage fails, all requests do. */
export const storageLogLimit = (clock?: Clock): ReturnType<typeof rateLimiter> => rateLimiter(warningIntervalMs, clock);

/** Logs a request that failed because of the storage, and returns the text for its response. */
export function logStorageFailure(
  { reason, detail }: StorageFailure,
  what: string,
  logLimit: ReturnType<typeof storageLogLimit>,
): string {
  metrics.storageFailures.inc({ reason });
  if (logLimit(reason) > 0)
    log.error("{what} failed: {problem} ({detail})", { what, problem: publicStorageProblem(reason), detail });
  return `${publicStorageProblem(reason)}: ask again in a moment, or ask another node`;
}
