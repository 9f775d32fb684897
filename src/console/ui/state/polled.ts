/** Data that is read from the node again and again while it is shown. */
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/node-api.ts";

export interface Polled<T> {
  /** The last data; it stays while the node is away. */
  readonly data: T | undefined;
  /** Of the last attempt. */
  readonly error: unknown;
}

/**
 * Calls `load` now and `intervalMs` after each end, not while the tab is hidden, and from the beginning when `key`
 * changes. `load` gets the last data. Without a key nothing is loaded, and nothing more after a 403.
 */
export function usePolled<T>(
  key: string | undefined,
  intervalMs: number,
  load: (signal: AbortSignal, last: T | undefined) => Promise<T>,
): Polled<T> {
  const [state, setState] = useState<Polled<T>>({ data: undefined, error: undefined });
  useEffect(() => {
    setState({ data: undefined, error: undefined });
    if (key === undefined) return undefined;
    const controller = new AbortController();
    void repeat(intervalMs, load, controller.signal, setState);
    return () => controller.abort();
  }, [key, intervalMs]);
  return state;
}

async function repeat<T>(
  intervalMs: number,
  load: (signal: AbortSignal, last: T | undefined) => Promise<T>,
  signal: AbortSignal,
  show: (state: Polled<T>) => void,
): Promise<void> {
  let data: T | undefined;
  while (!signal.aborted) {
    let error: unknown;
    try {
      data = await load(signal, data);
    } catch (thrown) {
      error = thrown;
    }
    if (signal.aborted) return;
    show({ data, error });
    // The node will say the same the next time.
    if (error instanceof ApiError && error.status === 403) return;
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
    await visible();
  }
}

/** Resolves when the tab is shown. */
function visible(): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", () => resolve(), { once: true }));
}
