/**
 * Something that a broker may answer by ending the connection, as it does where an access list forbids it: it is not tried any more once the connection
 * has ended twice in a row before the answer came. Until the node is started anew it does without.
 */
const endsMax = 2;

export class Trial {
  readonly #onGivenUp: () => void;
  #isOpen = false;
  #ends = 0;

  /** `onGivenUp` is called once. */
  constructor(onGivenUp: () => void) {
    this.#onGivenUp = onGivenUp;
  }

  get isAllowed(): boolean {
    return this.#ends < endsMax;
  }

  begin(): void {
    this.#isOpen = true;
  }

  /** It was answered, with yes or no, if it was tried. */
  answered(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#ends = 0;
  }

  /** To be called for each connection that is made. */
  connected(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (++this.#ends === endsMax) this.#onGivenUp();
  }
}
