/**
 * A hash table from the string of a symbol to its ordinal, in typed arrays. A lookup in the store would take a quarter
 * of the time of a decision.
 *
 * It uses open addressing and consists of many partitions. Each partition grows on its own, and is emptied on its own
 * when it is full, so that no request waits long for either. An entry holds all data of its string in one place, so a
 * lookup touches two cache lines. The table is small (40 MB for a million strings of ten letters), because the garbage
 * collector runs the later, the more memory is in use.
 */

const partitionBits = 8;
const slotsMin = 16;
/**
 * While half of the slots are free, so many slots in a row are hardly ever taken, unless somebody has chosen strings
 * that collide.
 */
const probesMax = 32;
/** Longer strings are not cached. */
const lengthMax = 64;
/** Strings of types with a greater id are not cached. No policy has as many types. */
const typeMax = 0xffff;
/**
 * A slot: the offset of an entry in the lower 22 bits, and 10 bits of its hash above. No entry is at offset 0, so 0 is
 * an empty slot.
 */
const offsetBits = 22;
const tagBits = 32 - offsetBits;
/** An entry in bytes: the type (2), the ordinal (4), the form (1), and one or two bytes for each unit of UTF-16. */
const [ordinalAt, formAt, textAt] = [2, 6, 7] as const;
/** A bit of the form: two bytes for each unit. The other bits are the length. */
const wide = 0x80;

export class SymbolHashTable {
  /** Random, so that nobody can choose strings that collide. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  /** Each is made for its first string. */
  readonly #partitions: (TablePartition | undefined)[] = new Array<undefined>(2 ** partitionBits).fill(undefined);
  readonly #partitionMax: number;
  readonly #stringsMax: number;
  #count = 0;
  #wasEmptied = false;

  /** The table holds about `stringsMax` entries at most. */
  constructor(stringsMax: number) {
    this.#stringsMax = stringsMax;
    // Partitions are not equally full. Five standard deviations are hardly ever exceeded.
    this.#partitionMax = Math.ceil(stringsMax / 2 ** partitionBits + 5 * Math.sqrt(stringsMax / 2 ** partitionBits));
  }

  /** Whether an entry that is added now may displace others. */
  get isFull(): boolean {
    return this.#count >= this.#stringsMax || this.#wasEmptied;
  }

  /** The ordinal of the symbol within its type; undefined if it is not cached. */
  find(type: number, text: string): number | undefined {
    if (text.length > lengthMax) return undefined;
    const hash = hashOf(this.#seed, type, text);
    return this.#partitions[partitionOf(hash)]?.find(hash, type, text);
  }

  /** `ordinal` belongs to the symbol for ever. The symbol must not be cached yet. */
  add(type: number, text: string, ordinal: number): void {
    if (text.length > lengthMax || type > typeMax) return;
    const hash = hashOf(this.#seed, type, text);
    const partition = (this.#partitions[partitionOf(hash)] ??= new TablePartition(this.#seed, this.#partitionMax));
    const added = partition.add(hash, type, text, ordinal);
    this.#count += added;
    if (added < 0) this.#wasEmptied = true;
  }
}

const partitionOf = (hash: number): number => hash >>> (32 - partitionBits);

class TablePartition {
  readonly #seed: number;
  readonly #countMax: number;
  #count = 0;
  #slots = new Int32Array(slotsMin);
  #bytes = new Uint8Array(0);
  /** The offset of the next entry. */
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
      if (slot >>> offsetBits !== tagOf(hash)) continue;
      const at = slot & (2 ** offsetBits - 1);
      if (pairAt(bytes, at) === type && isAt(bytes, at, text))
        return pairAt(bytes, at + ordinalAt) + pairAt(bytes, at + ordinalAt + 2) * 2 ** 16;
    }
    return undefined;
  }

  /** Returns how many entries were added: a negative number if the partition was emptied. */
  add(hash: number, type: number, text: string, ordinal: number): number {
    if (this.#countMax === 0) return 0;
    const before = this.#count;
    const isWide = /[^\0-\xff]/.test(text);
    const length = textAt + text.length * (isWide ? 2 : 1);
    if (before >= this.#countMax || this.#end + length > 2 ** offsetBits) this.#empty();
    if (this.#end + length > this.#bytes.length) this.#growBytes(length);
    if (this.#count * 2 >= this.#slots.length) this.#growSlots();
    if (!insertSlot(this.#slots, hash, this.#end)) return this.#count - before;
    const [bytes, at] = [this.#bytes, this.#end];
    putPair(bytes, at, type);
    putPair(bytes, at + ordinalAt, ordinal);
    putPair(bytes, at + ordinalAt + 2, Math.floor(ordinal / 2 ** 16));
    bytes[at + formAt] = text.length | (isWide ? wide : 0);
    for (let index = 0; index < text.length; index++) {
      if (isWide) putPair(bytes, at + textAt + index * 2, text.charCodeAt(index));
      else bytes[at + textAt + index] = text.charCodeAt(index);
    }
    this.#end += length;
    this.#count++;
    return this.#count - before;
  }

  #empty(): void {
    this.#count = 0;
    this.#slots = new Int32Array(slotsMin);
    this.#bytes = new Uint8Array(0);
    this.#end = 1;
  }

  #growBytes(length: number): void {
    const before = this.#bytes;
    this.#bytes = new Uint8Array(Math.ceil((this.#end + length) * 1.2));
    this.#bytes.set(before);
  }

  #growSlots(): void {
    const bytes = this.#bytes;
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let at = 1; at < this.#end;) {
      insertSlot(this.#slots, hashAt(this.#seed, bytes, at), at);
      at += textAt + lengthAt(bytes, at) * ((bytes[at + formAt] ?? 0) & wide ? 2 : 1);
    }
  }
}

/** Returns false if no slot near enough is free. */
function insertSlot(slots: Int32Array, hash: number, at: number): boolean {
  for (let probe = 0; probe < probesMax; probe++) {
    const slot = (hash + probe) & (slots.length - 1);
    if (slots[slot] !== 0) continue;
    slots[slot] = (tagOf(hash) << offsetBits) | at;
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

/** The hash of an entry. */
function hashAt(seed: number, bytes: Uint8Array, at: number): number {
  let hash = seed ^ pairAt(bytes, at);
  for (let unit = 0; unit < lengthAt(bytes, at); unit++) hash = Math.imul(hash ^ unitAt(bytes, at, unit), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** Bits that decide neither the partition nor, in most partitions, the slot. */
function tagOf(hash: number): number {
  return (hash >>> (32 - partitionBits - tagBits)) & (2 ** tagBits - 1);
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
