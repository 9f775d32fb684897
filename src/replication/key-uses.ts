/**
 * When each API key was last used, to the minute. A request only changes a map. Now and then the map is saved in the
 * data directory, and a replica reports it to its primary, which answers with the uses that it knows. So every node
 * knows the uses of all nodes within some minutes, without events. A crash can lose the uses of the last interval.
 */
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import { getLogger } from "../telemetry/logger.ts";
import type { Clock } from "../util/clock.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import { reasonOf } from "../util/reason.ts";

const log = getLogger("keys");

/** Minutes since 1970, by the id of the key. */
export type UsesByKey = Readonly<Record<string, number>>;

/** Sends uses to another node. Resolves with the uses that it knows; undefined if it is a release without this request. */
export type ReportUses = (uses: UsesByKey) => Promise<UsesByKey | undefined>;

const minuteMs = 60_000;
/** More than an environment has keys. Beyond that, the uses of the keys that were not used for the longest time are forgotten. */
const keysMax = 1000;
/** Each request carries so many, because they travel in a header. */
export const reportedKeysMax = 64;

const fileName = "key-uses";
const keyId = /^[A-Za-z0-9-]{1,64}$/;
const fileSchema = z.record(z.string(), z.number());

interface KeyUse {
  readonly minute: number;
  /** The last minute that the primary knows. */
  reported: number;
}

export class KeyUses {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #uses = new LRUCache<string, KeyUse>({ max: keysMax });
  readonly #warnings: ReturnType<typeof rateLimiter>;
  #isSaved = true;
  #isReporting = false;
  /** The last recorded use: most requests have the same key as the one before. */
  #lastId = "";
  #lastMinute = 0;

  /** Reads the uses of an earlier run. */
  constructor(directory: string, clock: Clock) {
    this.#directory = directory;
    this.#clock = clock;
    this.#warnings = rateLimiter(60 * minuteMs, clock);
    try {
      this.merge(fileSchema.parse(JSON.parse(readNodeFile(directory, fileName) ?? "{}")));
      this.#isSaved = true;
    } catch (error) {
      this.#warn("read", error);
    }
  }

  /** The key was used at `nowMs`, in ms since 1970. An earlier time than the known one shows that the clock was set. */
  record(id: string, nowMs: number): void {
    const minute = Math.floor(nowMs / minuteMs);
    if (minute === this.#lastMinute && id === this.#lastId) return;
    [this.#lastId, this.#lastMinute] = [id, minute];
    if (this.#uses.get(id)?.minute !== minute) this.#set(id, minute);
  }

  /** In ms since 1970, rounded down to a minute. Undefined if no use is known. */
  lastUsedMs(id: string): number | undefined {
    const use = this.#uses.peek(id);
    // The clock may have been set back.
    return use && Math.min(use.minute, this.#currentMinute()) * minuteMs;
  }

  /** Adds the uses that another node knows. The clock of that node may be ahead. */
  merge(uses: UsesByKey): void {
    const current = this.#currentMinute();
    for (const [id, given] of Object.entries(uses).slice(0, keysMax)) {
      if (!keyId.test(id) || !Number.isSafeInteger(given) || given <= 0) continue;
      const minute = Math.min(given, current);
      if (minute > (this.#uses.peek(id)?.minute ?? 0)) this.#set(id, minute);
    }
  }

  all(): UsesByKey {
    return minutesOf([...this.#uses.entries()]);
  }

  /** Saves the uses, and reports new ones, every `intervalMs` until the result is called, which saves them again. */
  start(intervalMs: number, report?: ReportUses): () => void {
    const cancel = this.#clock.every(intervalMs, () => {
      this.#save();
      if (report !== undefined) void this.#report(report);
    });
    return () => {
      cancel();
      this.#save();
    };
  }

  #set(id: string, minute: number): void {
    const use = this.#uses.get(id);
    this.#uses.set(id, { minute, reported: Math.min(use?.reported ?? 0, minute - 1) });
    this.#isSaved = false;
  }

  #save(): void {
    if (this.#isSaved) return;
    try {
      writeNodeFile(this.#directory, fileName, JSON.stringify(this.all()), { wait: false });
      this.#isSaved = true;
    } catch (error) {
      this.#warn("written", error);
    }
  }

  async #report(report: ReportUses): Promise<void> {
    if (this.#isReporting) return;
    this.#isReporting = true;
    try {
      // Also without new uses, to learn those of other nodes.
      do {
        const reported = minutesOf(this.#unreported().slice(0, reportedKeysMax));
        const known = await report(reported);
        if (known === undefined) break;
        this.merge(known);
        this.#markReported(known);
        this.#markReported(reported);
      } while (this.#unreported().length > 0);
    } catch (error) {
      // They are reported at the next interval.
      log.debug("last uses of API keys could not be reported: {reason}", { reason: reasonOf(error) });
    } finally {
      this.#isReporting = false;
    }
  }

  #unreported(): [string, KeyUse][] {
    return [...this.#uses.entries()].filter(([, { minute, reported }]) => minute > reported);
  }

  /** The primary knows these uses, or has corrected them: they were ahead of its clock. */
  #markReported(uses: UsesByKey): void {
    for (const [id, minute] of Object.entries(uses)) {
      const use = this.#uses.peek(id);
      if (use !== undefined) use.reported = Math.max(use.reported, minute);
    }
  }

  #currentMinute(): number {
    return Math.floor(this.#clock.wallMs() / minuteMs);
  }

  #warn(what: "read" | "written", error: unknown): void {
    if (this.#warnings(what) > 0)
      log.warning("the last uses of API keys cannot be {what} in {directory}: {reason}", {
        what,
        directory: this.#directory,
        reason: reasonOf(error),
      });
  }
}

function minutesOf(uses: readonly (readonly [string, KeyUse])[]): UsesByKey {
  return Object.fromEntries(uses.map(([id, { minute }]) => [id, minute]));
}

/** The form of uses in a header. */
export function formatUses(uses: UsesByKey): string {
  return Object.entries(uses)
    .map(([id, minute]) => `${id}=${minute}`)
    .join(",");
}

/** Ignores what is malformed. */
export function parseUses(header: string): UsesByKey {
  const entries = header.split(",", reportedKeysMax).map((entry) => entry.split("="));
  return Object.fromEntries(entries.map(([id = "", minute]) => [id.trim(), Number(minute)]));
}
