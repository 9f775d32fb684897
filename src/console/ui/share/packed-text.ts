/** A text for the address of a page: compressed with DEFLATE, as base64url. */
import { shareTexts } from "../texts/share.ts";
import { sharedBytesMax } from "./shared-question.ts";

export async function packText(text: string): Promise<string> {
  const packed = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Throws an error if it is no such text, or if the text is larger than a shared question may be. */
export async function unpackText(packed: string): Promise<string> {
  const reader = decompressed(packed).getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      // A small text can unpack to any size, so the rest is not unpacked.
      if (size > sharedBytesMax) throw new Error(shareTexts.problems.tooLarge);
      chunks.push(value);
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(await new Blob(chunks).arrayBuffer());
  } catch (error) {
    if (size > sharedBytesMax) throw error;
    throw new Error(shareTexts.problems.noQuestion, { cause: error });
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function decompressed(packed: string): ReadableStream<Uint8Array<ArrayBuffer>> {
  if (!/^[\w-]+$/.test(packed)) throw new Error(shareTexts.problems.noQuestion);
  const binary = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
}
