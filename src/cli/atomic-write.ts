/** An atomic write of the output file of a command: readers see the old file or the new one, never a part. */
import { access, chmod, chown, constants, realpath, rm, stat, writeFile } from "node:fs/promises";
import type { Stats } from "node:fs";
import { installFile } from "../runtime/atomic-file.ts";
import { AppError } from "../util/app-error.ts";

/**
 * Throws `invalid_request` if the file cannot be written; an old file then stays. A replaced file keeps its owner and
 * permissions.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  let temporary: string | undefined;
  try {
    const { target, replaced } = await targetOf(path);
    temporary = `${target}.${process.pid}.tmp`;
    // The temporary file has the permissions of the old one, so that no other user can read it.
    await writeFile(temporary, text, { flag: "wx", ...(replaced && { mode: replaced.mode & 0o777 }) });
    if (replaced) await copyOwnership(temporary, replaced);
    installFile(temporary, target);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true });
    if (error instanceof AppError) throw error;
    throw new AppError("invalid_request", `\`${path}\` cannot be written: ${reason(error as NodeJS.ErrnoException)}`);
  }
}

/** Returns the target of a symbolic link, so that the link stays, and the old file. */
async function targetOf(path: string): Promise<{ readonly target: string; readonly replaced?: Stats }> {
  try {
    const target = await realpath(path);
    const found = await stat(target);
    if (!found.isFile()) throw new AppError("invalid_request", `\`${path}\` is not a file`);
    // A rename checks only the permissions of the directory.
    await access(target, constants.W_OK);
    return { target, replaced: found };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { target: path };
    throw error;
  }
}

/** Copies owner and permissions; only the superuser can change the owner. */
async function copyOwnership(path: string, { uid, gid, mode }: Stats): Promise<void> {
  const own = await stat(path);
  if (own.uid !== uid || own.gid !== gid) {
    await chown(path, uid, gid).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EPERM") throw error;
    });
  }
  await chmod(path, mode & 0o7777);
}

function reason(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return "its directory does not exist";
  if (error.code === "ENOTDIR") return "its directory is a file";
  if (error.code === "EACCES") return "permission denied";
  return error.message;
}
