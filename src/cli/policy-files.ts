/** Policy files as the commands take them: several form one policy, and each keeps its name for messages. */
import { readFile } from "node:fs/promises";
import type { Source } from "../polar/source.ts";
import { UsageError } from "./command.ts";

export async function readPolicyFiles(paths: readonly string[]): Promise<Source[]> {
  return Promise.all(paths.map(async (name) => ({ name, text: await readPolicyFile(name) })));
}

async function readPolicyFile(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new UsageError(`the policy file \`${path}\` can't be read: ${reason(error as NodeJS.ErrnoException)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`the policy file \`${path}\` is not UTF-8 text`);
  }
}

function reason(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return "there is no such file";
  if (error.code === "EISDIR") return "it is a directory";
  if (error.code === "EACCES") return "reading it is not permitted";
  return error.message;
}
