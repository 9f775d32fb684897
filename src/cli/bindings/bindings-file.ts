/** Reads a file with data bindings. */
import { readFile } from "node:fs/promises";
import { AppError } from "../../util/app-error.ts";
import { fileProblem } from "../../util/reason.ts";

/** Throws `invalid_request`. */
export async function readBindingsText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new AppError("invalid_request", `\`${file}\` cannot be read: ${fileProblem(error)}`);
  }
}
