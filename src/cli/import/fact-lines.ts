/** Reads facts from NDJSON: one fact per line, as JSON like that of the API. Empty lines are skipped. */
import { createReadStream } from "node:fs";
import { inputStream } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";

/** Consecutive facts of a file. */
export interface FactBatch {
  /** The JSON of each fact. */
  readonly facts: readonly string[];
  /** The line of each fact, from 1. */
  readonly lines: readonly number[];
  /** The bytes of the file up to the end of the batch. */
  readonly bytesRead: number;
}

/** The size of a batch. It may be lowered meanwhile. */
export interface BatchSize {
  facts: number;
  bytes: number;
}

/** A line can have one fact with arguments of the greatest length, every character escaped, with room to spare. */
const lineBytesMax = 1024 * 1024;

/**
 * The facts from line `fromLine` on, in batches of at most `size`. `file` is a path, or `-` for standard input. AppError
 * names the file and the line that is not the JSON of a fact; the batch before the line comes first.
 */
export async function* factBatches(file: string, fromLine: number, size: BatchSize): AsyncGenerator<FactBatch> {
  let [facts, lines, bytes, bytesRead]: [string[], number[], number, number] = [[], [], 0, 0];
  const take = (): FactBatch => {
    const batch = { facts, lines, bytesRead };
    [facts, lines, bytes] = [[], [], 0];
    return batch;
  };
  let problem: unknown;
  try {
    for await (const { content, line, end } of linesOf(file)) {
      const text = line < fromLine ? "" : textOf(file, line, content);
      if (text.trim() !== "") {
        const reason = problemOf(text);
        if (reason !== undefined) throw lineError(file, line, reason);
        if (facts.length > 0 && (facts.length >= size.facts || bytes + content.length > size.bytes)) yield take();
        facts.push(text);
        lines.push(line);
        bytes += content.length + 1;
      }
      bytesRead = end;
    }
  } catch (error) {
    problem = error;
  }
  if (facts.length > 0) yield take();
  if (problem !== undefined) throw problem;
}

export function lineError(file: string, line: number, problem: string): AppError {
  const name = file === "-" ? "standard input" : `\`${file}\``;
  return new AppError("invalid_request", `${name}, line ${line}: ${problem}`);
}

/** Throws AppError for what is not UTF-8, because a replacement character could make two ids equal. */
function textOf(file: string, line: number, content: Buffer): string {
  try {
    return decoder.decode(content);
  } catch {
    throw lineError(file, line, "is not UTF-8");
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Only the shape is checked here, so that a line cannot be more than a fact. The node checks the rest. */
function problemOf(text: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `\`${clip(text, 80)}\` is not JSON; a line is a fact such as {"predicate": "p", "args": [{"type": "User", "id": "ann"}]}`;
  }
  const { predicate, args } = (value ?? {}) as { readonly predicate?: unknown; readonly args?: unknown };
  if (typeof predicate === "string" && Array.isArray(args)) return undefined;
  return 'a fact has the members "predicate" and "args"';
}

/** The lines without their ends. */
async function* linesOf(file: string): AsyncGenerator<{ content: Buffer; line: number; end: number }> {
  const input: AsyncIterable<Buffer> =
    file === "-" ? inputStream() : createReadStream(file, { highWaterMark: 2 ** 20 });
  let rest: Buffer = Buffer.alloc(0);
  let [line, end] = [0, 0];
  for await (const chunk of input) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let stop = bytes.indexOf(10); stop !== -1; stop = bytes.indexOf(10, start)) {
      end += stop + 1 - start;
      yield { content: bytes.subarray(start, stop), line: ++line, end };
      start = stop + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > lineBytesMax) throw lineError(file, line + 1, "is longer than any fact");
  }
  if (rest.length > 0) yield { content: rest, line: line + 1, end: end + rest.length };
}
