/** The drafts of this tab: they stay while other screens are shown, and the browser asks before a reload loses them. */
import { type Draft, isChanged } from "./files.ts";

/** By the environment and the login. */
const drafts = new Map<string, Draft>();

export function storedDraft(login: string): Draft | undefined {
  return drafts.get(login);
}

export function storeDraft(login: string, draft: Draft): void {
  drafts.set(login, draft);
}

addEventListener("beforeunload", (event) => {
  if ([...drafts.values()].some(isChanged)) event.preventDefault();
});
