/** Loads the file with the manual, once for each tab. */
import { callNode } from "../api/node-api.ts";
import { type ManualFile, type ManualPage, pagesOf } from "./pages.ts";

/** The name of the file, which the build sets. */
declare const MANUAL_FILE: string;

let loaded: readonly ManualPage[] | undefined;

/** Throws an error if the node does not answer. */
export async function loadPages(signal: AbortSignal): Promise<readonly ManualPage[]> {
  loaded ??= pagesOf((await callNode(undefined, `/console/${MANUAL_FILE}`, { signal })) as ManualFile);
  return loaded;
}
