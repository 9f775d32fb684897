/**
 * The node keys that a node knows. It sends and signs with the first one. A second one is only accepted: operators
 * replace the key on one node after another, and meanwhile nodes with the old and with the new one work together.
 */
import { scryptSync, timingSafeEqual } from "node:crypto";
import { nodeKeysIn } from "../../config/node-key.ts";
import { hashKey } from "./api-keys.ts";

/** SHA-256 of each key, by `hashKey`. */
export type NodeKeyHashes = readonly [first: string, ...others: string[]];

/** `setting` is `nodeKey`. */
export function nodeKeyHashesIn(setting: string): NodeKeyHashes {
  const [first, ...others] = nodeKeysIn(setting);
  return [hashKey(first), ...others.map(hashKey)];
}

/**
 * The index of the candidate that equals `given`; undefined if none does. It compares with all of them, so the time does
 * not say which one matches.
 */
export function matchingIndex(given: Uint8Array, candidates: readonly Uint8Array[]): number | undefined {
  let found: number | undefined;
  for (const [index, candidate] of candidates.entries())
    if (given.length === candidate.length && timingSafeEqual(given, candidate)) found ??= index;
  return found;
}

const ids = new Map<string, string>();

/**
 * A short name of the key with this hash, for operators and for the headers of backups. Like client ids at brokers, it
 * is derived slowly: it is no easier way to guess a weak key than the MAC beside it.
 */
export function nodeKeyId(hash: string): string {
  // A process knows two keys, a command perhaps a few more.
  const known = ids.get(hash) ?? scryptSync(Buffer.from(hash, "hex"), "ostiary node key id 1", 4).toString("hex");
  ids.set(hash, known);
  return known;
}
