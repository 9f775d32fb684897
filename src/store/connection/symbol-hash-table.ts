/**
 * Numbers of values by their texts: what is kept here need not be looked up in the store, which would be a fourth of an answer. A hash table with open
 * addresses in many parts; each grows by itself, and begins anew by itself when it is full, so that nobody waits long for that. All that is known of
 * a text is in one place: finding it touches two lines of memory. It is kept small, 40 MB for a million texts of ten letters, since the more memory
 * there is, the later the collector clears away what questions leave behind.
 */
import { must } from "../../util/assert.ts";

const partBits = 8;
const slotsMin = 16;
/** So many slots in a row are hardly ever taken where half of all are free, unless somebody has chosen texts that meet. */
const probesMax = 32;
/** Longer texts are not kept. */
const lengthMax = 64;
/** Nor are those of later types; nobody has as many. */
const typeMax = 0xffff;
/** A slot tells in 22 bits where an entry begins and has 10 bits of its hash above that; no entry begins at 0, so that 0 is none. */
const placeBits = 22;
const tagBits = 32 - placeBits;
/** An entry in bytes: the type (2), the number (4), the form (1), and one or two bytes for each unit of UTF-16. */
const [numberAt, formAt, textAt] = [2, 6, 7] as const;
/** Of the form; the other bits are the length. */
const wide = 0x80;

export class SymbolHashTable {
  /** By chance, so that nobody knows which texts meet. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  readonly #parts: readonly TablePartition[];
  readonly #textsMax: number;
  #count = 0;
  #hasBegunAnew = false;

  /** Keeps about so many at most. */
  constructor(textsMax: number) {
    this.#textsMax = textsMax;
    // Parts are not all equally full: hardly any has as many more as this.
    const countMax = Math.ceil(textsMax / 2 ** partBits + 5 * Math.sqrt(textsMax / 2 ** partBits));
    this.#parts = Array.from({ length: 2 ** partBits }, () => new TablePartition(this.#seed, countMax));
  }

  /** Whether what is added now may take the place of something else. */
  get isFull(): boolean {
    return this.#count >= this.#textsMax || this.#hasBegunAnew;
  }

  /** Which of the values of its type it is, `undefined` where that is not known here. */
  find(type: number, text: string): number | undefined {
    if (text.length > lengthMax) return undefined;
    const hash = hashOf(this.#seed, type, text);
    return this.#partOf(hash).find(hash, type, text);
  }

  /** `number` is the value's for ever, and was not known here. */
  add(type: number, text: string, number: number): void {
    if (text.length > lengthMax || type > typeMax) return;
    const hash = hashOf(this.#seed, type, text);
    const more = this.#partOf(hash).add(hash, type, text, number);
    this.#count += more;
    if (more < 0) this.#hasBegunAnew = true;
  }

  #partOf(hash: number): TablePartition {
    return must(this.#parts[hash >>> (32 - partBits)]);
  }
}

class TablePartition {
  readonly #seed: number;
  readonly #countMax: number;
  #count = 0;
  #slots = new Int32Array(slotsMin);
  #bytes = new Uint8Array(0);
  /** Where the next entry goes. */
  #end = 1;

  constructor(seed: number, countMax: number) {
    this.#seed = seed;
    this.#countMax = countMax;
  }

  find(hash: number, type: number, text: string): number | undefined {
    const slots = this.#slots;
    const bytes = this.#bytes;
    for (let probe = 0; probe < probesMax; probe++) {
      const slot = slots[(hash + probe) & (slots.length - 1)] ?? 0;
      if (slot === 0) return undefined;
      if (slot >>> placeBits !== tagOf(hash)) continue;
      const at = slot & (2 ** placeBits - 1);
      if (pairAt(bytes, at) === type && isAt(bytes, at, text))
        return pairAt(bytes, at + numberAt) + pairAt(bytes, at + numberAt + 2) * 2 ** 16;
    }
    return undefined;
  }

  /** Gives by how many there are more now: fewer, where it begins anew. */
  add(hash: number, type: number, text: string, number: number): number {
    if (this.#countMax === 0) return 0;
    const before = this.#count;
    const isWide = /[^\0-\xff]/.test(text);
    const length = textAt + text.length * (isWide ? 2 : 1);
    if (before >= this.#countMax || this.#end + length > 2 ** placeBits) this.#beginAnew();
    if (this.#end + length > this.#bytes.length) this.#extend(length);
    if (this.#count * 2 >= this.#slots.length) this.#spread();
    if (!insertSlot(this.#slots, hash, this.#end)) return this.#count - before;
    const [bytes, at] = [this.#bytes, this.#end];
    putPair(bytes, at, type);
    putPair(bytes, at + numberAt, number);
    putPair(bytes, at + numberAt + 2, Math.floor(number / 2 ** 16));
    bytes[at + formAt] = text.length | (isWide ? wide : 0);
    for (let index = 0; index < text.length; index++) {
      if (isWide) putPair(bytes, at + textAt + index * 2, text.charCodeAt(index));
      else bytes[at + textAt + index] = text.charCodeAt(index);
    }
    this.#end += length;
    this.#count++;
    return this.#count - before;
  }

  #beginAnew(): void {
    this.#count = 0;
    this.#slots = new Int32Array(slotsMin);
    this.#bytes = new Uint8Array(0);
    this.#end = 1;
  }

  #extend(length: number): void {
    const before = this.#bytes;
    this.#bytes = new Uint8Array(Math.ceil((this.#end + length) * 1.2));
    this.#bytes.set(before);
  }

  #spread(): void {
    const bytes = this.#bytes;
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let at = 1; at < this.#end;) {
      insertSlot(this.#slots, hashAt(this.#seed, bytes, at), at);
      at += textAt + lengthAt(bytes, at) * ((bytes[at + formAt] ?? 0) & wide ? 2 : 1);
    }
  }
}

/** Whether there was a free slot near enough. */
function insertSlot(slots: Int32Array, hash: number, at: number): boolean {
  for (let probe = 0; probe < probesMax; probe++) {
    const slot = (hash + probe) & (slots.length - 1);
    if (slots[slot] !== 0) continue;
    slots[slot] = (tagOf(hash) << placeBits) | at;
    return true;
  }
  return false;
}

/** FNV-1a over UTF-16 units (Fowler, Noll, Vo; IETF draft-eastlake-fnv), as a 32-bit integer. */
function hashOf(seed: number, type: number, text: string): number {
  let hash = seed ^ type;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** The same of an entry. */
function hashAt(seed: number, bytes: Uint8Array, at: number): number {
  let hash = seed ^ pairAt(bytes, at);
  for (let unit = 0; unit < lengthAt(bytes, at); unit++) hash = Math.imul(hash ^ unitAt(bytes, at, unit), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** Bits that decide neither the part nor, in most parts, the slot. */
function tagOf(hash: number): number {
  return (hash >>> (32 - partBits - tagBits)) & (2 ** tagBits - 1);
}

function isAt(bytes: Uint8Array, at: number, text: string): boolean {
  if (lengthAt(bytes, at) !== text.length) return false;
  for (let unit = 0; unit < text.length; unit++) if (unitAt(bytes, at, unit) !== text.charCodeAt(unit)) return false;
  return true;
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return (bytes[at + formAt] ?? 0) & ~wide;
}

function unitAt(bytes: Uint8Array, at: number, unit: number): number {
  return (bytes[at + formAt] ?? 0) & wide ? pairAt(bytes, at + textAt + unit * 2) : (bytes[at + textAt + unit] ?? 0);
}

/** Two bytes as an integer. */
function pairAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

/** The lower 16 bits of a number. */
function putPair(bytes: Uint8Array, at: number, pair: number): void {
  bytes[at] = pair;
  bytes[at + 1] = pair >>> 8;
}
