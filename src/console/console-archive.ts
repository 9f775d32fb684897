/**
 * The archive with all files of the web console, which `scripts/build` makes. It is one file, so that the compiled
 * program embeds one, and a node reads it only when somebody opens the console.
 */
import { readFileSync } from "node:fs";
import { builtFileUrl } from "../runtime/program.ts";
import { AppError } from "../util/app-error.ts";

export interface ConsoleFile {
  readonly type: string;
  /** Of the content. */
  readonly hash: string;
  readonly br: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer>;
}

/** In the archive, contents are base64. */
export type ArchivedFile = { readonly [Name in keyof ConsoleFile]: string };

/** The name of the archive inside the program, and in `dist/`. */
export const archiveName = "console.archive";

/** All files by name. Throws AppError `not_found` if there is no archive. */
export function readArchive(): ReadonlyMap<string, ConsoleFile> {
  let text: string;
  try {
    text = readFileSync(builtFileUrl(archiveName), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new AppError("not_found", "the web console is not built: run `scripts/build`");
  }
  const files = JSON.parse(text) as Readonly<Record<string, ArchivedFile>>;
  return new Map(
    Object.entries(files).map(([name, { type, hash, br, gzip }]) => [
      name,
      { type, hash, br: bytesOf(br), gzip: bytesOf(gzip) },
    ]),
  );
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(base64, "base64"));
}
