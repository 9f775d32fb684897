/** SHA-256 of many short values. Takes a third of the time of `node:crypto`, because it allocates less. */

export const sha256Bytes = 32;

/** Writes the hash of bytes, or of a string in UTF-8, into `hash`, which has `sha256Bytes` bytes. */
export function sha256Into(content: string | Uint8Array, hash: Uint8Array): void {
  Bun.SHA256.hash(content as Bun.BlobOrStringOrBuffer, hash);
}

/**
 * Returns a function that computes the HMAC (RFC 2104) of the concatenated parts, as hex. The key is processed only
 * once.
 */
export function hmacWith(key: Uint8Array): (...parts: (string | Uint8Array)[]) => string {
  const keyed = new Bun.CryptoHasher("sha256", key);
  return (...parts) => {
    const hasher = keyed.copy();
    for (const part of parts) hasher.update(part);
    return hasher.digest("hex");
  };
}
