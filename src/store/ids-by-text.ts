/**
 * Ids of values by their texts: what is asked about again is not looked up in the store again, which would be a fourth of an answer. A hash table with
 * open addresses over typed arrays: half a million texts in a Map take three times the 22 MB that they take here. When it is full, it begins anew.
 */
/** How many texts it has room for. All are put into place again where it grows, so it grows seldom. */
const capacities = [2 ** 9, 2 ** 14, 2 ** 19] as const;
const slotsPerText = 2;
/** Past so many slots in a row, somebody has chosen texts that meet. */
const probesMax = 32;
/** Longer texts are not kept. */
const lengthMax = 64;
const chunkUnits = 2 ** 16;

/** Texts in the order in which they came, numbered from 1. */
interface Entries {
  readonly capacity: number;
  readonly hashes: Int32Array;
  readonly types: Int32Array;
  readonly ids: Float64Array;
  /** Where the UTF-16 units of a text begin, in all chunks together. */
  readonly starts: Uint32Array;
  readonly lengths: Uint8Array;
  /** By hash: the number of a text, 0 for none. */
  readonly slots: Int32Array;
}

export class IdsByText {
  /** By chance, so that nobody knows which texts meet. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  #entries = makeEntries(capacities[0]);
  #count = 0;
  /** Each text is in one of them. */
  #chunks: Uint16Array[] = [];
  /** Where the next text goes in the last chunk. */
  #end = chunkUnits;

  /** The id of a value, `undefined` where it is not known here. */
  find(type: number, text: string): number | undefined {
    if (text.length > lengthMax) return undefined;
    const { slots, hashes, types, ids } = this.#entries;
    const hash = this.#hash(type, text);
    for (let probe = 0; probe < probesMax; probe++) {
      const number = slots[(hash + probe) & (slots.length - 1)] ?? 0;
      if (number === 0) return undefined;
      if (hashes[number] === hash && types[number] === type && this.#is(number, text)) return ids[number];
    }
    return undefined;
  }

  /** `id` is the value's for ever, and was not known here. */
  add(type: number, text: string, id: number): void {
    if (text.length > lengthMax) return;
    if (this.#count === this.#entries.capacity) this.#grow();
    const hash = this.#hash(type, text);
    const { hashes, types, ids, starts, lengths } = this.#entries;
    const number = this.#count + 1;
    if (!place(this.#entries, hash, number)) return;
    this.#count = number;
    hashes[number] = hash;
    types[number] = type;
    ids[number] = id;
    starts[number] = this.#keep(text);
    lengths[number] = text.length;
  }

  #clear(): void {
    this.#entries = makeEntries(capacities[0]);
    this.#count = 0;
    this.#chunks = [];
    this.#end = chunkUnits;
  }

  #grow(): void {
    const before = this.#entries;
    const capacity = capacities.find((one) => one > before.capacity);
    if (capacity === undefined) return this.#clear();
    const after = makeEntries(capacity);
    for (const name of ["hashes", "types", "ids", "starts", "lengths"] as const) after[name].set(before[name]);
    for (let number = 1; number <= this.#count; number++) place(after, before.hashes[number] ?? 0, number);
    this.#entries = after;
  }

  /** FNV-1a over UTF-16 units (Fowler, Noll, Vo; IETF draft-eastlake-fnv). */
  #hash(type: number, text: string): number {
    let hash = this.#seed ^ type;
    for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    return hash ^ (hash >>> 15);
  }

  #is(number: number, text: string): boolean {
    const { starts, lengths } = this.#entries;
    if (lengths[number] !== text.length) return false;
    const start = starts[number] ?? 0;
    const chunk = this.#chunks[Math.floor(start / chunkUnits)];
    if (chunk === undefined) return false;
    for (let index = 0; index < text.length; index++)
      if (chunk[(start % chunkUnits) + index] !== text.charCodeAt(index)) return false;
    return true;
  }

  /** Where its units begin. */
  #keep(text: string): number {
    if (this.#end + text.length > chunkUnits) {
      this.#chunks.push(new Uint16Array(chunkUnits));
      this.#end = 0;
    }
    const chunk = this.#chunks.at(-1);
    const offset = this.#end;
    for (let index = 0; index < text.length; index++) if (chunk) chunk[offset + index] = text.charCodeAt(index);
    this.#end += text.length;
    return (this.#chunks.length - 1) * chunkUnits + offset;
  }
}

function makeEntries(capacity: number): Entries {
  return {
    capacity,
    hashes: new Int32Array(capacity + 1),
    types: new Int32Array(capacity + 1),
    ids: new Float64Array(capacity + 1),
    starts: new Uint32Array(capacity + 1),
    lengths: new Uint8Array(capacity + 1),
    slots: new Int32Array(capacity * slotsPerText),
  };
}

/** Whether there was a free slot near enough. */
function place({ slots }: Entries, hash: number, number: number): boolean {
  for (let probe = 0; probe < probesMax; probe++) {
    const slot = (hash + probe) & (slots.length - 1);
    if (slots[slot] !== 0) continue;
    slots[slot] = number;
    return true;
  }
  return false;
}
