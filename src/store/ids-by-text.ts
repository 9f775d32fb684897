/**
 * Ids of values by their texts: what is asked about again is not looked up in the store again, which would be a fourth of an answer. A hash table with
 * open addresses, and all that is known of a text in one place, so that finding it touches three lines of memory: half a million texts in a Map take
 * three times the 22 MB that they take here. When it is full, it begins anew.
 */
import { must } from "../util/assert.ts";

/** All texts are put into place again where it grows, so it grows seldom. */
const slotCounts = [2 ** 10, 2 ** 15, 2 ** 20] as const;
const slotsPerText = 2;
/** Past so many slots in a row, somebody has chosen texts that meet. */
const probesMax = 32;
/** Longer texts are not kept. */
const lengthMax = 64;
/** Entries are numbered by where they begin, all chunks together; no chunk begins with one, so that 0 is none. */
const chunkUnits = 2 ** 16;
/** An entry in 16-bit units: its hash (2), the type (2), the id (4), the length, and as many units of UTF-16. */
const [typeAt, idAt, lengthAt, textAt] = [2, 4, 8, 9] as const;

export class IdsByText {
  /** By chance, so that nobody knows which texts meet. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  #slots = new Int32Array(slotCounts[0]);
  #count = 0;
  #chunks: Uint16Array[] = [];
  /** Where the next entry goes in the last chunk. */
  #end = chunkUnits;

  /** The id of a value, `undefined` where it is not known here. */
  find(type: number, text: string): number | undefined {
    if (text.length > lengthMax) return undefined;
    const slots = this.#slots;
    const hash = this.#hash(type, text);
    for (let probe = 0; probe < probesMax; probe++) {
      const entry = slots[(hash + probe) & (slots.length - 1)] ?? 0;
      if (entry === 0) return undefined;
      const chunk = this.#chunkOf(entry);
      const at = entry % chunkUnits;
      if (wordAt(chunk, at) === hash && wordAt(chunk, at + typeAt) === type && isAt(chunk, at, text))
        return (wordAt(chunk, at + idAt) >>> 0) + (wordAt(chunk, at + idAt + 2) >>> 0) * 2 ** 32;
    }
    return undefined;
  }

  /** `id` is the value's for ever, and was not known here. */
  add(type: number, text: string, id: number): void {
    if (text.length > lengthMax) return;
    if (this.#count === this.#slots.length / slotsPerText) this.#grow();
    const hash = this.#hash(type, text);
    const entry = this.#room(textAt + text.length);
    if (!place(this.#slots, hash, entry)) return;
    const chunk = this.#chunkOf(entry);
    const at = entry % chunkUnits;
    putWord(chunk, at, hash);
    putWord(chunk, at + typeAt, type);
    putWord(chunk, at + idAt, id);
    putWord(chunk, at + idAt + 2, Math.floor(id / 2 ** 32));
    chunk[at + lengthAt] = text.length;
    for (let index = 0; index < text.length; index++) chunk[at + textAt + index] = text.charCodeAt(index);
    this.#end = at + textAt + text.length;
    this.#count++;
  }

  #grow(): void {
    const before = this.#slots;
    const count = slotCounts.find((one) => one > before.length);
    this.#slots = new Int32Array(count ?? slotCounts[0]);
    if (count === undefined) {
      this.#count = 0;
      this.#chunks = [];
      this.#end = chunkUnits;
      return;
    }
    for (let slot = 0; slot < before.length; slot++) {
      const entry = before[slot] ?? 0;
      if (entry !== 0) place(this.#slots, wordAt(this.#chunkOf(entry), entry % chunkUnits), entry);
    }
  }

  /** Where an entry of so many units can be. */
  #room(units: number): number {
    if (this.#end + units > chunkUnits) {
      this.#chunks.push(new Uint16Array(chunkUnits));
      this.#end = 1;
    }
    return (this.#chunks.length - 1) * chunkUnits + this.#end;
  }

  #chunkOf(entry: number): Uint16Array {
    return must(this.#chunks[Math.floor(entry / chunkUnits)]);
  }

  /** FNV-1a over UTF-16 units (Fowler, Noll, Vo; IETF draft-eastlake-fnv), as a 32-bit integer. */
  #hash(type: number, text: string): number {
    let hash = this.#seed ^ type;
    for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    return hash ^ (hash >>> 15);
  }
}

/** Whether there was a free slot near enough. */
function place(slots: Int32Array, hash: number, entry: number): boolean {
  for (let probe = 0; probe < probesMax; probe++) {
    const slot = (hash + probe) & (slots.length - 1);
    if (slots[slot] !== 0) continue;
    slots[slot] = entry;
    return true;
  }
  return false;
}

function isAt(chunk: Uint16Array, at: number, text: string): boolean {
  if (chunk[at + lengthAt] !== text.length) return false;
  for (let index = 0; index < text.length; index++)
    if (chunk[at + textAt + index] !== text.charCodeAt(index)) return false;
  return true;
}

/** Two units as a 32-bit integer. */
function wordAt(chunk: Uint16Array, at: number): number {
  return (chunk[at] ?? 0) | ((chunk[at + 1] ?? 0) << 16);
}

/** The lower 32 bits of a number. */
function putWord(chunk: Uint16Array, at: number, word: number): void {
  chunk[at] = word;
  chunk[at + 1] = Math.floor(word / 2 ** 16);
}
