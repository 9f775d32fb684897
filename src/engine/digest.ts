/**
 * The state digest: a set hash over everything that decides answers, the sum modulo 2^64 of a 64-bit hash of each element. Adding and taking
 * away cost one hash each, and the order of events does not matter. Two nodes at the same position whose digests differ have diverged.
 */
import { hash as hashOf } from "node:crypto";
import type { ApiKey } from "./event.ts";
import type { Fact } from "../store/fact.ts";

const mask = (1n << 64n) - 1n;

export const emptyDigest = "0000000000000000";

/** A digest as 16 hexadecimal digits, and as the number that it stands for. */
export function parseDigest(digest: string): bigint {
  return BigInt(`0x${digest}`);
}

export function formatDigest(value: bigint): string {
  return (value & mask).toString(16).padStart(16, "0");
}

export function factElement(fact: Fact): bigint {
  return hash(["fact", fact.predicate, ...fact.args.flatMap((arg) => [arg.type, arg.id])]);
}

export function policyElement(id: number, source: string): bigint {
  return hash(["policy", String(id), source]);
}

export function keyElement(key: ApiKey): bigint {
  return hash(["key", key.id, key.role, key.hash]);
}

function hash(parts: readonly string[]): bigint {
  return hashOf("sha256", JSON.stringify(parts), "buffer").readBigUInt64BE(0);
}
