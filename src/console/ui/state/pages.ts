/** The pages of a list: the first one at once, older ones on demand, and all of them again after an outage. */
import { useRef } from "preact/hooks";
import { type RemoteData, useLoaded } from "./loaded.ts";

export interface Pages<P> extends RemoteData<readonly P[]> {
  readonly hasMore: boolean;
  /** Loads the next page. */
  readonly more: () => void;
}

/** `load` gets the page before, and `hasNext` tells whether one follows a page. */
export function usePages<P>(
  key: string,
  load: (before: P | undefined, signal: AbortSignal) => Promise<P>,
  hasNext: (page: P) => boolean,
): Pages<P> {
  const isMore = useRef(false);
  const loaded = useLoaded<readonly P[]>(key, async (signal, last = []) => {
    const kept = isMore.current ? last : [];
    const wanted = isMore.current ? last.length + 1 : Math.max(1, last.length);
    isMore.current = false;
    const pages = [...kept];
    do pages.push(await load(pages.at(-1), signal));
    while (pages.length < wanted && pages.slice(-1).every(hasNext));
    return pages;
  });
  const more = (): void => {
    isMore.current = true;
    loaded.reload();
  };
  return { ...loaded, hasMore: (loaded.data ?? []).slice(-1).some(hasNext), more };
}
