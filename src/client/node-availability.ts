/**
 * The availability of each node, as far as this client knows it, so that a dead node costs time once and not with each
 * request. A node that failed rests: for a while it is asked after all others, twice as long after each further
 * failure. After that, one request tests whether the node works again, and other requests avoid it until that one is
 * done. There are no background requests: an idle application sends nothing.
 */

/** The longest rest is the first rest, doubled this often. */
const doublingsMax = 3;

export class NodeAvailability {
  /** Scheme, host, port and the path before `/api`, without a slash at the end. */
  readonly base: string;
  readonly #restMs: number;
  #failures = 0;
  #restsUntilMs = 0;

  constructor(base: string, restMs: number) {
    this.base = base;
    this.#restMs = restMs;
  }

  /** Whether it has not failed since its last response. */
  get isTrusted(): boolean {
    return this.#failures === 0;
  }

  get restsUntilMs(): number {
    return this.#restsUntilMs;
  }

  get isResting(): boolean {
    return this.#restsUntilMs > performance.now();
  }

  /** A request is sent. If the node has failed before, this request is the test. */
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

/** The nodes that do not rest, in the given order, then the resting ones in the order in which their rests end. */
export function byAvailability(nodes: readonly NodeAvailability[]): NodeAvailability[] {
  const nowMs = performance.now();
  const availableAtMs = ({ restsUntilMs }: NodeAvailability): number => Math.max(restsUntilMs, nowMs);
  return [...nodes].sort((a, b) => availableAtMs(a) - availableAtMs(b));
}
