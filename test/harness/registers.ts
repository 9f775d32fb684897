/** The registers of a history: the versions of each one, and the range in the log where each version may begin. */
import type { Write } from "./history.ts";

/** One write of a register, with the range of offsets of its event. */
export interface Version {
  readonly write: Write;
  readonly earliest: number;
  readonly latest: number;
}

export class Registers {
  /** By register and version. No register has version 0. */
  readonly #versions = new Map<string, (Version | undefined)[]>();
  readonly #groups = new Map<string, string[]>();

  constructor(writes: readonly Write[]) {
    for (const { write, before } of withOffsetsBefore(writes)) {
      let versions = this.#versions.get(write.register);
      if (versions === undefined) {
        this.#versions.set(write.register, (versions = []));
        this.#groups.set(write.group, [...(this.#groups.get(write.group) ?? []), write.register]);
      }
      const acknowledged = write.token?.offset ?? Infinity;
      const earliest = write.sends === 1 && write.token !== undefined ? acknowledged : before + 1;
      versions[write.version] = { write, earliest, latest: acknowledged };
    }
  }

  get names(): Iterable<string> {
    return this.#versions.keys();
  }

  inGroup(group: string): readonly string[] {
    return this.#groups.get(group) ?? [];
  }

  /** Undefined if it was never written. */
  version(register: string, version: number): Version | undefined {
    return this.#versions.get(register)?.[version];
  }

  /** The last acknowledged version, 0 if there is none. */
  lastAcknowledged(register: string): number {
    const versions = this.#versions.get(register) ?? [];
    return Math.max(
      0,
      versions.findLastIndex((version) => version?.write.token !== undefined),
    );
  }
}

/** Each write with the greatest offset that had been acknowledged before it began: its own event comes after that. */
export function withOffsetsBefore(writes: readonly Write[]): { readonly write: Write; readonly before: number }[] {
  const ended = writes.filter(({ token }) => token !== undefined).sort((a, b) => a.endMs - b.endMs);
  let [next, before] = [0, 0];
  return [...writes]
    .sort((a, b) => a.startMs - b.startMs)
    .map((write) => {
      for (let done = ended[next]; done !== undefined && done.endMs < write.startMs; done = ended[++next])
        before = Math.max(before, done.token?.offset ?? 0);
      return { write, before };
    });
}
