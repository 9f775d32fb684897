/** Whether a text's UTF-8 is no longer than that. A UTF-16 unit has at most three bytes in it, so most texts need no count. */
export function isWithin(text: string, bytesMax: number): boolean {
  return text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax;
}
