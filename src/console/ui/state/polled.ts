/** Data that is read from the node again and again while it is shown. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, onReturn } from "../api/node-api.ts";
import type { RemoteData } from "./loaded.ts";

type State<T> = Omit<RemoteData<T>, "reload"> & { readonly of: string | undefined };

/**
 * Calls `load` now and `intervalMs` after each end, not while the tab is hidden, from the beginning when `key` changes,
 * and at once when the node answers again. `load` gets the last data. Without a key nothing is loaded, and nothing more
 * after a 403.
 */
export function usePolled<T>(
  key: string | undefined,
  intervalMs: number,
  load: (signal: AbortSignal, last: T | undefined) => Promise<T>,
): RemoteData<T> {
  const [turn, setTurn] = useState(0);
  const [last, setState] = useState<State<T>>(nothingOf(key));
  const state = last.of === key ? last : nothingOf<T>(key);
  const known = useRef(state);
  known.current = state;
  const reload = (): void => setTurn((count) => count + 1);
  useEffect(() => {
    if (key === undefined) return undefined;
    const controller = new AbortController();
    const { signal } = controller;
    const show = (part: Partial<State<T>>): void => {
      if (signal.aborted) return;
      known.current = { ...known.current, ...part };
      setState(known.current);
    };
    show({ isLoading: true });
    void repeat(intervalMs, (inner) => load(inner, known.current.data), signal, show);
    return () => controller.abort();
  }, [key, intervalMs, turn]);
  useEffect(() => onReturn(reload), []);
  const { data, atMs, error, isLoading } = state;
  return { data, atMs, error, isLoading, reload };
}

function nothingOf<T>(key: string | undefined): State<T> {
  return { data: undefined, atMs: undefined, error: undefined, isLoading: key !== undefined, of: key };
}

async function repeat<T>(
  intervalMs: number,
  load: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
  show: (part: Partial<State<T>>) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const data = await load(signal);
      show({ data, atMs: Date.now(), error: undefined, isLoading: false });
    } catch (error) {
      show({ error, isLoading: false });
      // The node will say the same the next time.
      if (error instanceof ApiError && error.status === 403) return;
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
    await visible();
  }
}

/** Resolves when the tab is shown. */
function visible(): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", () => resolve(), { once: true }));
}
