/**
 * The state digest: a set hash over everything that decides answers, the sum modulo 2^64 of a 64-bit hash of each
 * element. Adding or removing an element costs one hash. Two nodes at the same position with different digests have
 * diverged. The hashed texts are part of the file format, since nodes of different versions exchange digests.
 */
import { sha256Bytes, sha256Into } from "../../runtime/sha256.ts";
import type { Fact } from "../../store/facts/fact.ts";
import type { ApiKey } from "../event/event.ts";

const mask = (1n << 64n) - 1n;

/** The number that a digest of 16 hexadecimal digits stands for. */
export function parseDigest(digest: string): bigint {
  return BigInt(`0x${digest}`);
}

export function formatDigest(value: bigint): string {
  return (value & mask).toString(16).padStart(16, "0");
}

export function factElement(fact: Fact): bigint {
  const args = fact.args.map(({ type, id }) => `,${valueText(type, id)}`);
  return hash(`${factText(fact.predicate)}${args.join("")}]`);
}

export function policyElement(id: number, source: string): bigint {
  return hash(JSON.stringify(["policy", String(id), source]));
}

export function keyElement(key: ApiKey): bigint {
  return hash(JSON.stringify(["key", key.id, key.role, key.hash]));
}

/** The start of a fact's hashed text. For each argument follow a comma and its `valueText`; then `]` ends the text. */
export function factText(predicate: string): string {
  return `["fact",${JSON.stringify(predicate)}`;
}

export function valueText(type: string, id: string): string {
  return `${JSON.stringify(type)},${JSON.stringify(id)}`;
}

/** The sum of the hashes of many elements, without a `bigint` for each of them. */
export class HashSum {
  #count = 0;
  #high = 0;
  #low = 0;

  /** `text` is the UTF-8 encoding of the element's hashed text. */
  add(text: Uint8Array): void {
    sha256Into(text, bytes);
    this.#high += view.getUint32(0);
    this.#low += view.getUint32(4);
    // Carries before the sums exceed 2^53, up to which numbers are exact.
    if (++this.#count % 2 ** 20 === 0) this.#carry();
  }

  get value(): bigint {
    this.#carry();
    return (BigInt(this.#high) << 32n) + BigInt(this.#low);
  }

  #carry(): void {
    const over = Math.floor(this.#low / 2 ** 32);
    this.#low -= over * 2 ** 32;
    this.#high = (this.#high + over) % 2 ** 32;
  }
}

const bytes = new Uint8Array(sha256Bytes);
const view = new DataView(bytes.buffer);

function hash(text: string): bigint {
  sha256Into(text, bytes);
  return view.getBigUint64(0);
}
