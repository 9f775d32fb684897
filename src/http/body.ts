/**
 * Reads a request's body, never more of it than allowed: by its declared length before the first byte, and while it comes in where none was
 * declared. The content type is not asked for, since all bodies are JSON and the first try with `curl -d` should work.
 */
import { AppError } from "../util/app-error.ts";
import { describeJsonError } from "./json-error.ts";

/** The body as text; empty where there is none. */
export async function readText(request: Request, bytesMax: number): Promise<string> {
  const declared = request.headers.get("content-length");
  if (declared === null) return readStream(request.body, bytesMax);
  if (Number(declared) > bytesMax) throw tooLarge(bytesMax);
  return request.text();
}

/** The body as a value; `null` where there is none, for the schema to judge. */
export async function readJson(request: Request, bytesMax: number): Promise<unknown> {
  const text = await readText(request, bytesMax);
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new AppError("invalid_request", `the body is not JSON: ${describeJsonError(text)}`);
  }
}

async function readStream(stream: ReadableStream<Uint8Array> | null, bytesMax: number): Promise<string> {
  if (stream === null) return "";
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) throw tooLarge(bytesMax);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString("utf8");
}

function tooLarge(bytesMax: number): AppError {
  return new AppError(
    "too_large",
    `the body is larger than the ${bytesMax} bytes that are allowed here, send it in parts`,
  );
}
