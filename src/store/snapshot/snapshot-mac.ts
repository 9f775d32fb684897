/**
 * The message authentication code (MAC) of snapshots and backups: an HMAC-SHA-256 over the manifest, which names the SHA-256 and the size of the
 * content. The SHA-256 alone shows that a file is whole, not who made it: whoever changes the content can compute it again. The key comes from the
 * node key, so every node of an environment can make and verify the MAC, and nobody else can.
 */
import { timingSafeEqual } from "node:crypto";
import { hmacWith } from "../../runtime/sha256.ts";
import { AppError } from "../../util/app-error.ts";

/** A manifest as it stands in the file, and its MAC (lower-case hex) where the file has one. */
export interface SignedManifest {
  readonly text: string;
  readonly mac: string | undefined;
}

/** Whether a file comes from a node of the environment: `verified` with the node key, `absent` where it has no MAC, `unchecked` without a node key. */
export type Authenticity = "verified" | "absent" | "unchecked";

export const macLength = 64;

/** `nodeKeyHash` as `hashKey` makes it of the node key. */
export function manifestMac(text: string, nodeKeyHash: string): string {
  // A key of its own: the one for the event stream is of no use here, nor this one there.
  const key = hmacWith(Buffer.from(nodeKeyHash, "hex"))("ostiary snapshot 1");
  return hmacWith(Buffer.from(key, "hex"))("manifest\0", text);
}

/** AppError `invalid_request` where the MAC is not the one that a node with this key would have made. */
export function authenticityOf({ text, mac }: SignedManifest, nodeKeyHash: string | undefined): Authenticity {
  if (mac === undefined) return "absent";
  if (nodeKeyHash === undefined) return "unchecked";
  const given = Buffer.from(mac, "utf8");
  const expected = Buffer.from(manifestMac(text, nodeKeyHash), "utf8");
  if (given.length === expected.length && timingSafeEqual(given, expected)) return "verified";
  throw new AppError(
    "invalid_request",
    "its MAC is wrong: it was changed, or made under another node key. Take another file, or give the node key that was in force when it was made",
  );
}
