/**
 * A list that grows by itself, but never under the pointer: it holds still while the pointer or the focus is in it, or
 * somebody has paused it or reads an entry in a drawer, and says how many entries are new.
 */
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { currentRoute } from "../state/route.ts";
import { useStore } from "../store.ts";
import { liveListTexts as words } from "../texts/live-list.ts";
import { Icon } from "./icon.tsx";

export interface LiveListProps<T> {
  /** The newest first. */
  readonly entries: readonly T[];
  readonly keyOf: (entry: T) => string;
  readonly children: (entries: readonly T[]) => ComponentChildren;
}

export function LiveList<T>({ entries, keyOf, children }: LiveListProps<T>) {
  const [isPaused, setIsPaused] = useState(false);
  const [isHovered, setIsHovered] = useState(false);
  const [hasFocus, setHasFocus] = useState(false);
  const held = useRef(entries);
  const hasDrawer = useStore(currentRoute).parts.length > 0;
  const holds = isPaused || isHovered || hasFocus || hasDrawer;
  if (!holds) held.current = entries;
  const [first] = held.current;
  const known = first === undefined ? -1 : entries.findIndex((entry) => keyOf(entry) === keyOf(first));
  // After more entries than the list keeps, all are new.
  const fresh = holds ? (known === -1 ? entries.length : known) : 0;
  const resume = (): void => {
    held.current = entries;
    setIsPaused(false);
    setIsHovered(false);
    setHasFocus(false);
  };
  return (
    <>
      <div class="toolbar live-bar">
        <button type="button" aria-pressed={isPaused} onClick={() => (isPaused ? resume() : setIsPaused(true))}>
          <Icon name={isPaused ? "play" : "pause"} />
          {isPaused ? words.resume : words.pause}
        </button>
        {fresh > 0 && (
          <button type="button" class="quiet" onClick={resume}>
            {words.show(words.fresh(fresh))}
          </button>
        )}
        <span class="help" role="status">
          {isPaused ? words.paused : holds && fresh > 0 ? words.held : ""}
        </span>
      </div>
      <div
        onPointerEnter={({ pointerType }) => pointerType === "mouse" && setIsHovered(true)}
        onPointerLeave={() => setIsHovered(false)}
        onFocusIn={() => setHasFocus(true)}
        onFocusOut={() => setHasFocus(false)}
      >
        {children(held.current)}
      </div>
    </>
  );
}
