/**
 * The drafts of this tab, by environment: they stay while other screens are shown, after another login, and after a
 * reload, since a person logs in on another page. Closing the tab loses them, so the browser asks before that.
 */
import { type Draft, isChanged } from "./files.ts";

const storagePrefix = "ostiary-draft ";
const drafts = new Map<string, Draft>();

export function storedDraft(environment: string): Draft | undefined {
  return drafts.get(environment) ?? kept(environment);
}

export function storeDraft(environment: string, draft: Draft): void {
  drafts.set(environment, draft);
  try {
    if (isChanged(draft)) sessionStorage.setItem(storagePrefix + environment, JSON.stringify(draft));
    else sessionStorage.removeItem(storagePrefix + environment);
  } catch {
    // It is too large for the storage of the browser, and stays in memory.
    sessionStorage.removeItem(storagePrefix + environment);
  }
}

function kept(environment: string): Draft | undefined {
  return (JSON.parse(sessionStorage.getItem(storagePrefix + environment) ?? "null") as Draft | undefined) ?? undefined;
}

addEventListener("beforeunload", (event) => {
  if ([...drafts.values()].some(isChanged)) event.preventDefault();
});
