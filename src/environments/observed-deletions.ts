/**
 * For how long this node has observed that environments are deleted. The time counts by the monotonic clock and only
 * while the process runs, because a wall clock can be wrong and nobody can restore data that it has removed. It is kept
 * in a file, so that restarts do not begin anew. Each node counts, since each may have to make a deletion final as the
 * primary.
 */
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import { getLogger } from "../telemetry/logger.ts";
import type { Clock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import type { RegisteredEnvironment } from "./registry.ts";

const log = getLogger("environments");

/** A line for each deletion: the environment, when it was created and deleted, and the observed time in ms. */
const fileName = "observed-deletions";
/** A restart loses at most the time since the last save. */
const saveIntervalMs = 60_000;
/** More between two observations does not count: the process, or both clocks, stood still or jumped. */
const gapMsMax = 60_000;

export class ObservedDeletions {
  readonly #directory: string;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #observed: ReadonlyMap<string, number> | undefined;
  #lastMs: number;
  #savedMs: number;

  /** The file is in `directory`. */
  constructor(directory: string, clock: Pick<Clock, "monotonicMs">) {
    this.#directory = directory;
    this.#clock = clock;
    this.#lastMs = this.#savedMs = clock.monotonicMs();
  }

  /** Adds the time since the last call to each of these environments that is deleted, and forgets the others. */
  observe(entries: readonly RegisteredEnvironment[]): void {
    const nowMs = this.#clock.monotonicMs();
    const passedMs = Math.min(nowMs - this.#lastMs, gapMsMax);
    this.#lastMs = nowMs;
    const before = (this.#observed ??= this.#read());
    const deleted = entries.filter(({ deletedMs }) => deletedMs !== undefined).map(nameOf);
    const isSame = deleted.length === before.size && deleted.every((name) => before.has(name));
    if (isSame && deleted.length === 0) return;
    // A new deletion may have happened at any moment since the last call.
    this.#observed = new Map(deleted.map((name) => [name, before.has(name) ? (before.get(name) ?? 0) + passedMs : 0]));
    if (isSame && nowMs < this.#savedMs + saveIntervalMs) return;
    this.#savedMs = nowMs;
    this.#save(this.#observed);
  }

  /** In ms; 0 for an environment that is not deleted. */
  observedMs(entry: RegisteredEnvironment): number {
    return this.#observed?.get(nameOf(entry)) ?? 0;
  }

  #read(): ReadonlyMap<string, number> {
    const lines = readNodeFile(this.#directory, fileName)?.split("\n") ?? [];
    const parts = lines.map((line) => /^(\S+ \d+ \d+) (\d+)$/.exec(line));
    return new Map(parts.flatMap((part) => (part === null ? [] : [[part[1] ?? "", Number(part[2])] as const])));
  }

  #save(observed: ReadonlyMap<string, number>): void {
    const lines = [...observed].map(([name, ms]) => `${name} ${Math.floor(ms)}\n`);
    try {
      writeNodeFile(this.#directory, fileName, lines.join(""), { wait: false });
    } catch (error) {
      log.warning("it cannot be saved for how long environments are deleted, which delays the end of them: {reason}", {
        reason: reasonOf(error),
      });
    }
  }
}

const nameOf = ({ id, createdMs, deletedMs }: RegisteredEnvironment): string => `${id} ${createdMs} ${deletedMs ?? 0}`;
