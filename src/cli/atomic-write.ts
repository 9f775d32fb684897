/** A file as the result of a command: readers see the old one or the new one, never a part. */
import { access, chmod, chown, constants, realpath, rm, stat, writeFile } from "node:fs/promises";
import type { Stats } from "node:fs";
import { installFile } from "../runtime/atomic-file.ts";
import { AppError } from "../util/app-error.ts";

/** Throws `invalid_request` where the file can't be written; what was there stays. A file that is replaced keeps owner and permissions. */
export async function replaceFile(path: string, text: string): Promise<void> {
  let temporary: string | undefined;
  try {
    const { target, replaced } = await existing(path);
    temporary = `${target}.${process.pid}.tmp`;
    // Nobody may read it meanwhile who could not read what it replaces.
    await writeFile(temporary, text, { flag: "wx", ...(replaced && { mode: replaced.mode & 0o777 }) });
    if (replaced) await resemble(temporary, replaced);
    installFile(temporary, target);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true });
    if (error instanceof AppError) throw error;
    throw new AppError("invalid_request", `\`${path}\` can't be written: ${reason(error as NodeJS.ErrnoException)}`);
  }
}

/** Where a link leads to, so that the link stays one, and the file that is there. */
async function existing(path: string): Promise<{ readonly target: string; readonly replaced?: Stats }> {
  try {
    const target = await realpath(path);
    const found = await stat(target);
    if (!found.isFile()) throw new AppError("invalid_request", `\`${path}\` is not a file`);
    // Renaming asks for the directory's permission only.
    await access(target, constants.W_OK);
    return { target, replaced: found };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { target: path };
    throw error;
  }
}

/** The owner as far as we may: who is not the superuser gives no files away. */
async function resemble(path: string, { uid, gid, mode }: Stats): Promise<void> {
  const own = await stat(path);
  if (own.uid !== uid || own.gid !== gid) {
    await chown(path, uid, gid).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EPERM") throw error;
    });
  }
  await chmod(path, mode & 0o7777);
}

function reason(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return "there is no such directory";
  if (error.code === "ENOTDIR") return "its directory is a file";
  if (error.code === "EACCES") return "writing there is not permitted";
  return error.message;
}
