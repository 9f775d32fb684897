/** The policy files of a command: several form one policy, and each keeps its name for messages. */
import { readFile } from "node:fs/promises";
import type { Diagnostic } from "../polar/diagnostic.ts";
import type { Source } from "../polar/source.ts";
import { fileProblem } from "../util/reason.ts";

export interface PolicyFiles {
  readonly sources: readonly Source[];
  /** A problem for each file that cannot be read, reported like the other problems of a policy. */
  readonly unreadable: readonly Diagnostic[];
}

export async function readPolicyFiles(paths: readonly string[]): Promise<PolicyFiles> {
  const read = await Promise.all(paths.map(readPolicyFile));
  return {
    sources: read.flatMap((file) => ("text" in file ? [file] : [])),
    unreadable: read.flatMap((file) => ("text" in file ? [] : [file])),
  };
}

async function readPolicyFile(path: string): Promise<Source | Diagnostic> {
  const bytes = await readBytes(path);
  return "code" in bytes ? bytes : decode(path, bytes);
}

export async function readBytes(path: string): Promise<Uint8Array | Diagnostic> {
  try {
    return await readFile(path);
  } catch (error) {
    return unreadable(path, `the file cannot be read: ${fileProblem(error)}; name a readable policy file`);
  }
}

export function decode(name: string, bytes: Uint8Array): Source | Diagnostic {
  try {
    return { name, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return unreadable(name, "the file is not UTF-8 text");
  }
}

function unreadable(file: string, message: string): Diagnostic {
  return { code: "file/unreadable", severity: "error", message, span: { file, start: 0, end: 0 } };
}
