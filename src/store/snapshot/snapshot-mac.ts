/**
 * The message authentication code (MAC) of snapshots and backups: an HMAC-SHA-256 of the manifest, which contains the
 * SHA-256 and the size of the content. The SHA-256 alone shows that a file is complete, not who made it: an attacker
 * who changes the content can compute it again. The key is derived from the node key, so only the nodes of an
 * environment can make and verify the MAC.
 */
import { hmacWith } from "../../runtime/sha256.ts";
import { AppError } from "../../util/app-error.ts";
import { matchingIndex, nodeKeyId, type NodeKeyHashes } from "../keys/node-keys.ts";

/** The text of a manifest, and its MAC in lower-case hex, if the file has one. */
export interface SignedManifest {
  readonly text: string;
  readonly mac: string | undefined;
  /** The id of the node key of the MAC, as the manifest says. Missing in files of older versions. */
  readonly nodeKey?: string | undefined;
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

/** Throws an AppError `invalid_request` if the MAC was made with none of these keys. */
export function authenticityOf(signed: SignedManifest, nodeKeyHashes: NodeKeyHashes | undefined): Authenticity {
  const { text, mac } = signed;
  if (mac === undefined) return "absent";
  if (nodeKeyHashes === undefined) return "unchecked";
  const expected = nodeKeyHashes.map((hash) => Buffer.from(manifestMac(text, hash), "utf8"));
  if (matchingIndex(Buffer.from(mac, "utf8"), expected) !== undefined) return "verified";
  throw new AppError("invalid_request", wrongMacText(signed, nodeKeyHashes));
}

function wrongMacText({ nodeKey }: SignedManifest, given: NodeKeyHashes): string {
  const ids = given.map((hash) => `\`${nodeKeyId(hash)}\``).join(" and ");
  // Files of 0.1.0 name none.
  const named = nodeKey === undefined ? "no key" : `the key \`${nodeKey}\``;
  const keys = `it names ${named}, and the given ${given.length > 1 ? "ones are" : "one is"} ${ids}`;
  return `its MAC is wrong: it was changed, or made with another node key (${keys}). Use another file, or give the node key with which it was made; \`nodeKey\` can have it as the second one`;
}
