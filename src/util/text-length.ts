/** Whether a text's UTF-8 is no longer than that. A UTF-16 unit has one to three bytes in it, so most texts need no count. */
export function fitsInBytes(text: string, bytesMax: number): boolean {
  if (text.length > bytesMax) return false;
  return text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax;
}

/** The beginning of a text that others sent, for a message: at most so many characters, and a sign where something is missing. */
export function clip(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax)}…`;
}
