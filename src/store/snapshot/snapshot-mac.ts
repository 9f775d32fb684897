/**
 * The message authentication code (MAC) of snapshots and backups: an HMAC-SHA-256 of the manifest, which contains the
 * SHA-256 and the size of the content. The SHA-256 alone shows that a file is complete, not who made it: an attacker
 * who changes the content can compute it again. The key is derived from the node key, so only the nodes of an
 * environment can make and verify the MAC.
 */
import { timingSafeEqual } from "node:crypto";
import { hmacWith } from "../../runtime/sha256.ts";
import { AppError } from "../../util/app-error.ts";

/** The text of a manifest, and its MAC in lower-case hex, if the file has one. */
export interface SignedManifest {
  readonly text: string;
  readonly mac: string | undefined;
}

/**
 * Whether a node of the environment made the file: `verified` with the node key, `absent` without a MAC, `unchecked`
 * without a node key.
 */
export type Authenticity = "verified" | "absent" | "unchecked";

export const macLength = 64;

/** `nodeKeyHash` is the hash of the node key by `hashKey`. */
export function manifestMac(text: string, nodeKeyHash: string): string {
  // A separate key: a MAC of the event stream is not valid here, and this one is not valid there.
  const key = hmacWith(Buffer.from(nodeKeyHash, "hex"))("ostiary snapshot 1");
  return hmacWith(Buffer.from(key, "hex"))("manifest\0", text);
}

/** Throws an AppError `invalid_request` if the MAC was not made with this key. */
export function authenticityOf({ text, mac }: SignedManifest, nodeKeyHash: string | undefined): Authenticity {
  if (mac === undefined) return "absent";
  if (nodeKeyHash === undefined) return "unchecked";
  const given = Buffer.from(mac, "utf8");
  const expected = Buffer.from(manifestMac(text, nodeKeyHash), "utf8");
  if (given.length === expected.length && timingSafeEqual(given, expected)) return "verified";
  throw new AppError(
    "invalid_request",
    "its MAC is wrong: it was changed, or made with another node key. Use another file, or give the node key with which it was made",
  );
}
