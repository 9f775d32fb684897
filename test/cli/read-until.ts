/** Output of a program that is still running. */

/** Reads on until the pattern matches, and leaves the rest of the stream to flow. Rejects where the stream ends before. */
export async function readUntil(stream: ReadableStream<Uint8Array>, pattern: RegExp): Promise<RegExpExecArray> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream.values({ preventCancel: true })) {
    text += decoder.decode(bytes, { stream: true });
    const match = pattern.exec(text);
    if (match !== null) return match;
  }
  throw new Error(`the stream ended before ${pattern}:\n${text}`);
}
