/**
 * Numbers of values by their texts: what is kept here need not be looked up in the store, which would be a fourth of an answer. A hash table with open
 * addresses in many parts; each grows by itself, and begins anew by itself when it is full, so that nobody waits long for that. All that is known of
 * a text is in one place: finding it touches two lines of memory, and a million texts of ten letters take 50 MB.
 */
import { must } from "../util/assert.ts";

const partBits = 8;
const slotsMin = 16;
/** Past so many slots in a row, somebody has chosen texts that meet. */
const probesMax = 32;
/** Longer texts are not kept. */
const lengthMax = 64;
/** A slot tells in 20 bits where an entry begins and has 12 bits of its hash above that; no entry begins at 0, so that 0 is none. */
const placeBits = 20;
/** An entry in 16-bit units: its hash (2), the type (2), the number (2), the length, and as many units of UTF-16. */
const [typeAt, numberAt, lengthAt, textAt] = [2, 4, 6, 7] as const;

export class IdsByText {
  /** By chance, so that nobody knows which texts meet. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  readonly #parts: readonly Part[];
  readonly #textsMax: number;
  #count = 0;

  /** Keeps about so many at most. */
  constructor(textsMax: number) {
    this.#textsMax = textsMax;
    // Parts are not all equally full.
    const countMax = Math.ceil((textsMax / 2 ** partBits) * 1.25);
    this.#parts = Array.from({ length: 2 ** partBits }, () => new Part(countMax));
  }

  /** Whether what is added now may take the place of something else. */
  get isFull(): boolean {
    return this.#count >= this.#textsMax;
  }

  /** Which of the values of its type it is, `undefined` where that is not known here. */
  find(type: number, text: string): number | undefined {
    if (text.length > lengthMax) return undefined;
    const hash = this.#hash(type, text);
    return this.#partOf(hash).find(hash, type, text);
  }

  /** `number` is the value's for ever, and was not known here. */
  add(type: number, text: string, number: number): void {
    if (text.length > lengthMax) return;
    const hash = this.#hash(type, text);
    this.#count += this.#partOf(hash).add(hash, type, text, number);
  }

  #partOf(hash: number): Part {
    return must(this.#parts[hash >>> (32 - partBits)]);
  }

  /** FNV-1a over UTF-16 units (Fowler, Noll, Vo; IETF draft-eastlake-fnv), as a 32-bit integer. */
  #hash(type: number, text: string): number {
    let hash = this.#seed ^ type;
    for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    return hash ^ (hash >>> 15);
  }
}

class Part {
  readonly #countMax: number;
  #count = 0;
  #slots = new Int32Array(slotsMin);
  #units = new Uint16Array(0);
  /** Where the next entry goes. */
  #end = 1;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  find(hash: number, type: number, text: string): number | undefined {
    const slots = this.#slots;
    const units = this.#units;
    for (let probe = 0; probe < probesMax; probe++) {
      const slot = slots[(hash + probe) & (slots.length - 1)] ?? 0;
      if (slot === 0) return undefined;
      if (slot >>> placeBits !== tagOf(hash)) continue;
      const at = placeOf(slot);
      if (wordAt(units, at + typeAt) === type && isAt(units, at, text)) return wordAt(units, at + numberAt) >>> 0;
    }
    return undefined;
  }

  /** Gives by how many there are more now: fewer, where it begins anew. */
  add(hash: number, type: number, text: string, number: number): number {
    if (this.#countMax === 0) return 0;
    const [before, length] = [this.#count, textAt + text.length];
    if (this.#count >= this.#countMax || this.#end + length > 2 ** placeBits) this.#beginAnew();
    if (this.#end + length > this.#units.length) this.#extend(length);
    if (this.#count * 2 >= this.#slots.length) this.#spread();
    if (!place(this.#slots, hash, this.#end)) return this.#count - before;
    const [units, at] = [this.#units, this.#end];
    putWord(units, at, hash);
    putWord(units, at + typeAt, type);
    putWord(units, at + numberAt, number);
    units[at + lengthAt] = text.length;
    for (let index = 0; index < text.length; index++) units[at + textAt + index] = text.charCodeAt(index);
    this.#end += length;
    this.#count++;
    return this.#count - before;
  }

  #beginAnew(): void {
    this.#count = 0;
    this.#slots = new Int32Array(slotsMin);
    this.#units = new Uint16Array(0);
    this.#end = 1;
  }

  #extend(length: number): void {
    const before = this.#units;
    this.#units = new Uint16Array(Math.ceil((this.#end + length) * 1.5));
    this.#units.set(before);
  }

  #spread(): void {
    const units = this.#units;
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let at = 1; at < this.#end; at += textAt + (units[at + lengthAt] ?? 0))
      place(this.#slots, wordAt(units, at), at);
  }
}

/** Whether there was a free slot near enough. */
function place(slots: Int32Array, hash: number, at: number): boolean {
  for (let probe = 0; probe < probesMax; probe++) {
    const slot = (hash + probe) & (slots.length - 1);
    if (slots[slot] !== 0) continue;
    slots[slot] = (tagOf(hash) << placeBits) | at;
    return true;
  }
  return false;
}

/** Bits that decide neither the part nor, in a small one, the slot. */
function tagOf(hash: number): number {
  return (hash >>> (32 - partBits - (32 - placeBits))) & (2 ** (32 - placeBits) - 1);
}

function placeOf(slot: number): number {
  return slot & (2 ** placeBits - 1);
}

function isAt(units: Uint16Array, at: number, text: string): boolean {
  if (units[at + lengthAt] !== text.length) return false;
  for (let index = 0; index < text.length; index++)
    if (units[at + textAt + index] !== text.charCodeAt(index)) return false;
  return true;
}

/** Two units as a 32-bit integer. */
function wordAt(units: Uint16Array, at: number): number {
  return (units[at] ?? 0) | ((units[at + 1] ?? 0) << 16);
}

/** As a 32-bit integer without a sign; one with is that modulo 2^32. */
function putWord(units: Uint16Array, at: number, word: number): void {
  units[at] = word;
  units[at + 1] = word >>> 16;
}
