/**
 * Reads a request's body, never more of it than allowed: by its declared length before the first byte, and while it comes in where none was
 * declared. The content type is not asked for, since all bodies are JSON and the first try with `curl -d` should work.
 */
import { AppError } from "../util/app-error.ts";
import { describeJsonError } from "./json-error.ts";

/** The body as text; empty where there is none. Throws, or rejects with, `too_large`. */
export function readText(request: Request, bytesMax: number): Promise<string> {
  const declared = request.headers.get("content-length");
  if (declared === null) return readStream(request.body, bytesMax);
  if (Number(declared) > bytesMax) throw tooLarge(bytesMax);
  return request.text();
}

/** The body as a value; `null` where there is none, for the schema to judge. */
export async function readJson(request: Request, bytesMax: number): Promise<unknown> {
  return parseJson(await readText(request, bytesMax));
}

/** The value that a body's text stands for; `null` for none. */
export function parseJson(text: string): unknown {
  if (text === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError("invalid_request", `the body is not JSON: ${describeJsonError(text)}`);
  }
  refuseHalfCharacters(text);
  return value;
}

/**
 * JSON may name half of a surrogate pair, UTF-8 can't hold it: the database would keep another text than the one that was hashed and
 * compared, and unlike ids would become the same. Only escapes can bring one in, since the body itself was UTF-8.
 */
function refuseHalfCharacters(json: string): void {
  if (!surrogate.test(json)) return;
  for (const [, half] of json.matchAll(escapes)) {
    if (half === undefined) continue;
    throw new AppError("invalid_request", `the body has \`\\${half}\`, which is half of a character: send both halves`);
  }
}

const surrogate = /\\u[dD][89a-fA-F]/;
/** Each escape from left to right: a whole pair, half of one (captured), any other. */
const escapes = /\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)/g;

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
