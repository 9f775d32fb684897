/** SHA-256 on Deno, with `node:crypto`. */
import { createHash, createHmac } from "node:crypto";

/** See `Platform`. */
export function sha256Into(content: string | Uint8Array, hash: Uint8Array): void {
  hash.set(createHash("sha256").update(content).digest());
}

/** See `Platform`. */
export function hmacWith(key: Uint8Array): (...parts: (string | Uint8Array)[]) => string {
  return (...parts) => {
    const hasher = createHmac("sha256", key);
    for (const part of parts) hasher.update(part);
    return hasher.digest("hex");
  };
}
