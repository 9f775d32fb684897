/** A request body that is too large to be parsed on the serving thread: the bytes, as they came in. */
export class LargeBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The API key that sent it. */
  readonly holder: string;

  constructor(bytes: Uint8Array<ArrayBuffer>, holder: string) {
    this.holder = holder;
    this.bytes = bytes;
  }
}
