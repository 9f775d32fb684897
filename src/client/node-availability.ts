/**
 * What this client has seen of each node, so that a dead one costs time once and not with each request. A node that failed rests: it is asked
 * after all others for a while, twice as long after each further failure. When that is over one request finds out whether it is back, and
 * the others stay away until that one knows. Nothing is asked in the background: an application that is idle is quiet.
 */

/** The longest rest is the first one doubled this often. */
const doublingsMax = 3;

export class NodeAvailability {
  /** Scheme, host, port and whatever path stands before `/api`, without a slash at the end. */
  readonly base: string;
  readonly #restMs: number;
  #failures = 0;
  #restsUntilMs = 0;

  constructor(base: string, restMs: number) {
    this.base = base;
    this.#restMs = restMs;
  }

  /** Whether it has not failed since its last answer. */
  get isTrusted(): boolean {
    return this.#failures === 0;
  }

  get restsUntilMs(): number {
    return this.#restsUntilMs;
  }

  get isResting(): boolean {
    return this.#restsUntilMs > performance.now();
  }

  /** A request is on its way. Where the node is in doubt, this request is the one that finds out. */
  requestStarted(): void {
    if (!this.isTrusted) this.#restsUntilMs = performance.now() + this.#restMs;
  }

  requestSucceeded(): void {
    this.#failures = 0;
    this.#restsUntilMs = 0;
  }

  requestFailed(): void {
    this.#restsUntilMs = performance.now() + this.#restMs * 2 ** Math.min(this.#failures, doublingsMax);
    this.#failures++;
  }
}

/** Those that do not rest, in the order given, then the others, those first whose rest ends first. */
export function byAvailability(nodes: readonly NodeAvailability[]): {
  readonly ready: NodeAvailability[];
  readonly resting: NodeAvailability[];
} {
  return {
    ready: nodes.filter((node) => !node.isResting),
    resting: nodes.filter((node) => node.isResting).sort((a, b) => a.restsUntilMs - b.restsUntilMs),
  };
}
