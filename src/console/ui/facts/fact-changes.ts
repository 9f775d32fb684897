/** What several screens know of facts: the names of the policy, whether facts can be changed, and the changes. */
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/node-api.ts";
import type { Health } from "../api/responses.ts";
import { call, shownLogin, may } from "../state/session.ts";
import { noSuggestions, type Suggestions } from "./completion.ts";
import { isWithin } from "./fact-restriction.ts";
import type { Fact } from "./fact-text.ts";

/** Names for completion; none while they are loaded, or without a policy. */
export function useSuggestions(): Suggestions {
  const [suggestions, setSuggestions] = useState(noSuggestions);
  useEffect(() => {
    const controller = new AbortController();
    call("/api/autocomplete_info", { signal: controller.signal }).then(
      (answer) => setSuggestions(answer as Suggestions),
      // The inputs work without completion.
      () => {},
    );
    return () => controller.abort();
  }, []);
  return suggestions;
}

/**
 * Tells which facts this login may change at this node; undefined if it may change none. A fallback refuses all changes,
 * an edge forwards them.
 */
export function useMayChange(): ((fact: Fact) => boolean) | undefined {
  const login = shownLogin();
  const isAllowed = may(login, "write");
  const [isAccepted, setIsAccepted] = useState(false);
  useEffect(() => {
    const controller = new AbortController();
    if (isAllowed)
      call("/healthcheck", { signal: controller.signal, acceptsNotReady: true }).then(
        (health) => setIsAccepted((health as Health).role !== "fallback"),
        // The node says why it refuses a change.
        (error: unknown) => setIsAccepted(error instanceof ApiError),
      );
    return () => controller.abort();
  }, [isAllowed]);
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
