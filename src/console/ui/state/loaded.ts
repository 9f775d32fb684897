/** Data that is read from the node once, again on demand, and again after an outage. */
import { useEffect, useState } from "preact/hooks";
import { useRecovery } from "./recovery.ts";

/** What `components/remote.tsx` shows. */
export interface RemoteData<T> {
  /** The last data; it stays while it is read again, and while the node is away. */
  readonly data: T | undefined;
  /** When the data came, by the wall clock; undefined if there was none yet. */
  readonly atMs: number | undefined;
  /** Of the last attempt that ended. */
  readonly error: unknown;
  readonly isLoading: boolean;
  readonly reload: () => void;
}

type State<T> = Omit<RemoteData<T>, "reload"> & { readonly of: string };

/**
 * Calls `load` now, after each `reload`, when `key` changes, and by itself after an outage. `load` gets the last data of
 * the key.
 */
export function useLoaded<T>(
  key: string,
  load: (signal: AbortSignal, last: T | undefined) => Promise<T>,
): RemoteData<T> {
  const [turn, setTurn] = useState(0);
  const [last, setState] = useState<State<T>>(nothingOf(key));
  const state = last.of === key ? last : nothingOf<T>(key);
  const reload = (): void => setTurn((count) => count + 1);
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const change = (part: Partial<State<T>>): void => {
      if (signal.aborted) return;
      setState((before) => ({ ...(before.of === key ? before : nothingOf<T>(key)), ...part }));
    };
    change({ isLoading: true });
    load(signal, state.data).then(
      (data) => change({ data, atMs: Date.now(), error: undefined, isLoading: false }),
      (error: unknown) => change({ error, isLoading: false }),
    );
    return () => controller.abort();
  }, [key, turn]);
  useRecovery(state.error, reload);
  const { data, atMs, error, isLoading } = state;
  return { data, atMs, error, isLoading, reload };
}

function nothingOf<T>(key: string): State<T> {
  return { data: undefined, atMs: undefined, error: undefined, isLoading: true, of: key };
}
