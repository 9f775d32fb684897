/** A request body that is too large to be parsed on the serving thread: the bytes, as they came in. */
export class LargeBody {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }
}
