/** Something that a person starts: it runs once at a time, and its failure is shown beside its control. */
import { useEffect, useRef, useState } from "preact/hooks";

export interface Action {
  readonly isRunning: boolean;
  /** Of the last run; undefined if it succeeded or was cancelled. */
  readonly error: unknown;
  /** Does nothing while it runs. */
  readonly run: (body: (signal: AbortSignal) => Promise<void>) => void;
  readonly cancel: () => void;
}

/** The run is cancelled when the component goes away. */
export function useAction(): Action {
  const [state, setState] = useState<Pick<Action, "isRunning" | "error">>({ isRunning: false, error: undefined });
  const controller = useRef<AbortController | undefined>(undefined);
  const cancel = (): void => controller.current?.abort();
  useEffect(() => cancel, []);
  const run = (body: (signal: AbortSignal) => Promise<void>): void => {
    if (state.isRunning) return;
    const own = new AbortController();
    controller.current = own;
    setState({ isRunning: true, error: undefined });
    body(own.signal).then(
      () => setState({ isRunning: false, error: undefined }),
      (error: unknown) => setState({ isRunning: false, error: own.signal.aborted ? undefined : error }),
    );
  };
  return { ...state, run, cancel };
}
