/** Data that is read from the node once, and again on demand. */
import { useEffect, useState } from "preact/hooks";

export interface Loaded<T> {
  /** The last data; it stays while it is read again. */
  readonly data: T | undefined;
  readonly error: unknown;
  readonly isLoading: boolean;
  readonly reload: () => void;
}

/** Calls `load` now, after each `reload`, and when `key` changes. */
export function useLoaded<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<Omit<Loaded<T>, "reload"> & { readonly of: string }>({
    ...{ data: undefined, error: undefined, isLoading: true, of: key },
  });
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    setState(({ data, of }) => ({ data: of === key ? data : undefined, error: undefined, isLoading: true, of: key }));
    load(signal).then(
      (data) => signal.aborted || setState({ data, error: undefined, isLoading: false, of: key }),
      (error: unknown) => signal.aborted || setState(({ data }) => ({ data, error, isLoading: false, of: key })),
    );
    return () => controller.abort();
  }, [key, turn]);
  const { data, error, isLoading } = state;
  return { data, error, isLoading, reload: () => setTurn((last) => last + 1) };
}
