/**
 * Whether a string has at most `bytesMax` bytes in UTF-8. A UTF-16 unit takes one to three bytes, so most strings need
 * no count.
 */
export function fitsInBytes(text: string, bytesMax: number): boolean {
  if (text.length > bytesMax) return false;
  return text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax;
}

/** The beginning of untrusted text for a message: at most `charactersMax` characters, then an ellipsis. */
export function clip(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax)}…`;
}
