/**
 * A history of writes in memory that threads share: one writes, others check each answer against it. A step changes one
 * fact, the policy, or removes an API key. The writer notes a step before it sends it, and its offset when it is done.
 */

export const users = 8;
export const repos = 16;
export const stepsMax = 200_000;

/** What a step does. A number from 0 on: the fact of the pair `floor(n / 2)` is inserted (odd) or deleted (even). */
export const readersPolicy = -1;
export const writersPolicy = -2;
export const removalOf = (key: number): number => -10 - key;

export const policyOf = (code: number): string => `actor User {}
resource Repo { roles = ["reader", "writer"]; permissions = ["read"];
  "read" if "${code === readersPolicy ? "reader" : "writer"}"; }`;

/** These facts stay. */
export const isWriter = (user: number, repo: number): boolean => (user + repo) % 3 === 0;

export interface SharedHistory {
  /** How many steps were begun, how many are done, whether the end has come, and how many questions were asked. */
  readonly counters: Int32Array<SharedArrayBuffer>;
  readonly codes: Int32Array<SharedArrayBuffer>;
  /** The offset of each step that is done. */
  readonly offsets: Int32Array<SharedArrayBuffer>;
}

const integers = (length: number) => new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));

export function newHistory(): SharedHistory {
  return { counters: integers(4), codes: integers(stepsMax), offsets: integers(stepsMax) };
}

export const begun = ({ counters }: SharedHistory): number => Atomics.load(counters, 0);
export const done = ({ counters }: SharedHistory): number => Atomics.load(counters, 1);
export const asked = ({ counters }: SharedHistory): number => Atomics.load(counters, 3);
export const isOver = ({ counters }: SharedHistory): boolean => Atomics.load(counters, 2) === 1;

/** The truth after each number of steps, as far as they were begun. */
export class Truth {
  readonly #history: SharedHistory;
  /** The numbers of steps after which each fact has another value: it is there after an odd one of them. */
  readonly #changes: number[][] = Array.from({ length: users * repos }, () => []);
  readonly #policies: { readonly after: number; readonly code: number }[] = [{ after: 0, code: readersPolicy }];
  readonly #removals = new Map<number, number>();
  #known = 0;

  constructor(history: SharedHistory) {
    this.#history = history;
  }

  mayRead(user: number, repo: number, after: number): boolean {
    const policy = this.#policies.findLast((each) => each.after <= after);
    if (policy?.code === writersPolicy) return isWriter(user, repo);
    const changes = this.#changes[user * repos + repo] ?? [];
    let count = changes.length;
    while (count > 0 && (changes[count - 1] ?? 0) > after) count -= 1;
    return count % 2 === 1;
  }

  isKey(key: number, after: number): boolean {
    return (this.#removals.get(key) ?? Infinity) > after;
  }

  /** Learns all steps that were begun. Returns their number. */
  update(): number {
    for (const until = begun(this.#history); this.#known < until;) {
      const code = this.#history.codes[this.#known++] ?? 0;
      if (code >= 0) this.#changes[code >> 1]?.push(this.#known);
      else if (code <= removalOf(0)) this.#removals.set(removalOf(0) - code, this.#known);
      else this.#policies.push({ after: this.#known, code });
    }
    return this.#known;
  }
}
