/** Whether what a statement about the present rests on is recent. Pure. */
import { isOld } from "../components/age.ts";

export interface Support {
  /** When its last answer came; undefined without one. */
  readonly atMs: number | undefined;
  /** Of the last attempt. */
  readonly error: unknown;
  /** An older answer supports nothing. */
  readonly freshMsMax: number;
}

/** `missing` if an answer never came and could not be got, `loading` if it may still come. */
export type Freshness = "fresh" | "loading" | "missing" | { readonly oldestMs: number };

/** While the node is silent, no answer supports anything. */
export function freshnessOf(supports: readonly Support[], nowMs: number, isSilent: boolean): Freshness {
  const missing = supports.filter(({ atMs }) => atMs === undefined);
  if (missing.length > 0) return isSilent || missing.some(({ error }) => error !== undefined) ? "missing" : "loading";
  const old = supports.flatMap(({ atMs = 0, freshMsMax }) =>
    isSilent || isOld(atMs, nowMs, freshMsMax) ? [atMs] : [],
  );
  return old.length === 0 ? "fresh" : { oldestMs: Math.min(...old) };
}
