/** Reads again by itself what an outage of the node left old or missing. */
import { useEffect, useRef } from "preact/hooks";
import { isTemporary, onReturn, silentSinceMs } from "../api/node-api.ts";
import { CodeError } from "./code-error.ts";

/** After a temporary failure of a node that answers: it may be starting. */
const retryMs = 3000;

/** Calls `again` when the node answers again after an outage, and a little later if `error` is temporary. */
export function useRecovery(error: unknown, again: () => void): void {
  const latest = useRef(again);
  latest.current = again;
  useEffect(() => onReturn(() => latest.current()), []);
  useEffect(() => {
    if (!isTemporary(error) && !(error instanceof CodeError)) return undefined;
    const timer = setTimeout(() => {
      if (silentSinceMs.value === undefined) latest.current();
    }, retryMs);
    return () => clearTimeout(timer);
  }, [error]);
}
