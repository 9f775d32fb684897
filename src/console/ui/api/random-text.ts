/** Random texts. `crypto.randomUUID` is missing on pages that came over plain HTTP from another machine. */

/** 256 random bits in hexadecimal. */
export function randomText(): string {
  return [...crypto.getRandomValues(new Uint8Array(32))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
