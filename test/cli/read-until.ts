/** The output of a running program. */

/** Reads until the pattern matches, then discards the rest of the stream. Rejects if the stream ends before. */
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
