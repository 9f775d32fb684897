/**
 * The drafts of this tab, by environment: they stay while other screens are shown, after another login, and after a
 * reload, since a person logs in on another page. Logging out and closing the tab loses them; the browser asks before
 * the latter.
 */
import { draftKey, session } from "../state/session.ts";
import { type Draft, isChanged } from "./files.ts";

const drafts = new Map<string, Draft>();

export function storedDraft(environment: string): Draft | undefined {
  const draft = drafts.get(environment) ?? kept(environment);
  if (draft !== undefined) drafts.set(environment, draft);
  return draft;
}

export function storeDraft(environment: string, draft: Draft): void {
  drafts.set(environment, draft);
  try {
    if (isChanged(draft)) sessionStorage.setItem(draftKey(environment), JSON.stringify(draft));
    else sessionStorage.removeItem(draftKey(environment));
  } catch {
    // It is too large for the storage of the browser, and stays in memory.
    sessionStorage.removeItem(draftKey(environment));
  }
}

function kept(environment: string): Draft | undefined {
  return (JSON.parse(sessionStorage.getItem(draftKey(environment)) ?? "null") as Draft | undefined) ?? undefined;
}

addEventListener("beforeunload", (event) => {
  if ([...drafts.values()].some(isChanged)) event.preventDefault();
});

session.subscribe((value) => {
  const environments = [...(value?.logins ?? []).map(({ who }) => who.environment), value?.lost?.who.environment];
  for (const environment of drafts.keys()) if (!environments.includes(environment)) drafts.delete(environment);
});
