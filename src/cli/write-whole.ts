/** A file as the result of a command: readers see the old one or the new one, never a part. */
import { rename, realpath, rm, stat, writeFile } from "node:fs/promises";
import { AppError } from "../util/app-error.ts";

/** Throws `invalid_request` where the file can't be written; what was there stays. */
export async function writeWhole(path: string, text: string): Promise<void> {
  let temporary: string | undefined;
  try {
    const target = await existing(path);
    temporary = `${target}.${process.pid}.tmp`;
    await writeFile(temporary, text, { flag: "wx" });
    await rename(temporary, target);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true });
    if (error instanceof AppError) throw error;
    throw new AppError("invalid_request", `\`${path}\` can't be written: ${reason(error as NodeJS.ErrnoException)}`);
  }
}

/** Where a link leads to, so that the link stays one. */
async function existing(path: string): Promise<string> {
  try {
    const target = await realpath(path);
    if (!(await stat(target)).isFile()) throw new AppError("invalid_request", `\`${path}\` is not a file`);
    return target;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return path;
    throw error;
  }
}

function reason(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return "there is no such directory";
  if (error.code === "ENOTDIR") return "its directory is a file";
  if (error.code === "EACCES") return "writing there is not permitted";
  return error.message;
}
