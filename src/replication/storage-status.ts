/**
 * What a node reports of its storage: for `/readyz`, for the metrics, and once per change in the log. Each part of the node that writes says when it
 * fails and when it works again; none of them ends the node.
 */
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import type { Clock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import {
  describeStorageFailure,
  publicStorageProblem,
  storageFailureIn,
  type StorageFailure,
} from "../util/storage-failure.ts";

const log = getLogger("storage");

/** What is written, as in "the position cannot be recorded". */
const parts = {
  database: { fails: "the database cannot be written", works: "the database can be written again" },
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

  /** What keeps this node from storing what it should, for everybody to read; undefined where nothing does. */
  get problem(): string | undefined {
    const [first] = this.#problems.values();
    return first;
  }

  /** Writing this part failed at `path`. Counted each time, logged when the reason is another than before. */
  failed(part: StoragePart, error: unknown, path: string): void {
    const failure = storageFailureIn(error);
    if (failure !== undefined) return this.set(part, failure, path);
    this.#note(part, "other", parts[part].fails, `${parts[part].fails} at \`${path}\`: ${reasonOf(error)}`);
  }

  /** The same where it is known what failed; undefined where it works. */
  set(part: StoragePart, failure: StorageFailure | undefined, path: string): void {
    if (failure === undefined) return this.recovered(part);
    const told = `${parts[part].fails}: ${publicStorageProblem(failure.reason)}`;
    this.#note(part, failure.reason, told, `${parts[part].fails}: ${describeStorageFailure(failure, path)}`);
  }

  recovered(part: StoragePart): void {
    if (this.#problems.delete(part)) log.warning("{text}", { text: parts[part].works });
  }

  #note(part: StoragePart, reason: string, told: string, logged: string): void {
    metrics.storageFailures.inc({ reason });
    if (this.#problems.get(part) === told) return;
    this.#problems.set(part, told);
    log.error("{text}", { text: logged });
  }
}

const warningIntervalMs = 10_000;

/** How often it is logged that requests fail because of the storage: they all do, as long as it does. */
export const storageLogLimit = (clock?: Clock): ReturnType<typeof rateLimiter> => rateLimiter(warningIntervalMs, clock);

/** What to answer to a request that failed because of the storage. */
export function logStorageFailure(
  { reason, detail }: StorageFailure,
  what: string,
  complaints: ReturnType<typeof storageLogLimit>,
): string {
  metrics.storageFailures.inc({ reason });
  if (complaints(reason) > 0)
    log.error("{what} failed: {problem} ({detail})", { what, problem: publicStorageProblem(reason), detail });
  return `${publicStorageProblem(reason)}: ask again in a moment, or ask another node`;
}
