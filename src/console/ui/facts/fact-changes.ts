/** What several screens know of facts: the names of the policy, whether facts can be changed, and the changes. */
import { ApiError } from "../api/node-api.ts";
import type { Health } from "../api/responses.ts";
import { useLoaded } from "../state/loaded.ts";
import { call, shownLogin, may } from "../state/session.ts";
import { noSuggestions, type Suggestions } from "./completion.ts";
import { isWithin } from "./fact-restriction.ts";
import type { Fact } from "./fact-text.ts";

/** Names for completion; none while they are loaded, or without a policy. The inputs work without. */
export function useSuggestions(): Suggestions {
  return useLoaded("suggestions", loadSuggestions).data ?? noSuggestions;
}

async function loadSuggestions(signal: AbortSignal): Promise<Suggestions> {
  const [suggestions, { metadata }] = (await Promise.all([
    call("/api/autocomplete_info", { signal }),
    call("/api/policy_metadata", { signal }),
  ])) as [Suggestions, { readonly metadata: { readonly resources: Readonly<Record<string, Block>> } }];
  const permissions = Object.entries(metadata.resources).map(([type, block]) => [type, block.permissions] as const);
  return { ...suggestions, permissions: Object.fromEntries(permissions) };
}

interface Block {
  readonly permissions: readonly string[];
}

/**
 * Tells which facts this login may change at this node; undefined if it may change none. A fallback refuses all changes,
 * an edge forwards them.
 */
export function useMayChange(): ((fact: Fact) => boolean) | undefined {
  const login = shownLogin();
  const isAllowed = may(login, "write");
  const { data: health, error } = useLoaded(`health ${isAllowed}`, async (signal) =>
    isAllowed ? ((await call("/healthcheck", { signal, acceptsNotReady: true })) as Health) : undefined,
  );
  // A node that refuses to say it also says why it refuses a change.
  const isAccepted = health === undefined ? error instanceof ApiError : health.role !== "fallback";
  return login !== undefined && isAllowed && isAccepted ? (fact) => isWithin(login.who, fact) : undefined;
}

export interface FactChanged {
  /** Whether the change changed anything. */
  readonly hadEffect: boolean;
  /** Which name of the fact the policy does not have. */
  readonly hint: string | undefined;
}

/** Inserts or deletes a fact. */
export async function changeFact(kind: "inserts" | "deletes", fact: Fact): Promise<FactChanged> {
  let hint: string | undefined;
  const onHint = (text: string): void => void (hint = text);
  const body = [{ [kind]: [fact] }];
  const { message } = (await call("/api/batch", { method: "POST", body, onHint })) as { message: string };
  return { hadEffect: !message.startsWith("0 facts inserted, 0 facts deleted"), hint };
}
