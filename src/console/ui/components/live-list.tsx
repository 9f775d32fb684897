/**
 * A list that grows by itself, but never under the eyes: it holds still while the pointer or the focus is in it, while its
 * top is out of sight, and while somebody has paused it or reads an entry in a drawer. It says how many entries are new.
 */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
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

/** How often a screen reader says the number of new entries. */
const announceMs = 10_000;

export function LiveList<T>({ entries, keyOf, children }: LiveListProps<T>) {
  const [isPaused, setIsPaused] = useState(false);
  const [isHovered, setIsHovered] = useState(false);
  const [hasFocus, setHasFocus] = useState(false);
  const [isScrolled, setIsScrolled] = useState(false);
  const top = useRef<HTMLDivElement>(null);
  const held = useRef(entries);
  const hasDrawer = useStore(currentRoute).parts.length > 0;
  const holds = isPaused || isHovered || hasFocus || isScrolled || hasDrawer;
  if (!holds) held.current = entries;
  const [first] = held.current;
  const known = first === undefined ? -1 : entries.findIndex((entry) => keyOf(entry) === keyOf(first));
  // After more entries than the list keeps, all are new.
  const fresh = holds ? (known === -1 ? entries.length : known) : 0;
  const freshText = fresh === 0 ? "" : known === -1 ? words.many(fresh) : words.fresh(fresh);
  useEffect(() => {
    const { current } = top;
    if (current === null) return undefined;
    const observer = new IntersectionObserver(([entry]) => setIsScrolled(entry?.isIntersecting === false));
    observer.observe(current);
    return () => observer.disconnect();
  }, []);
  const resume = (): void => {
    held.current = entries;
    setIsPaused(false);
    setIsHovered(false);
    setHasFocus(false);
    setIsScrolled(false);
    top.current?.scrollIntoView({ block: "nearest" });
  };
  return (
    <>
      <div ref={top} class="live-top" />
      <div class="toolbar live-bar">
        <button type="button" aria-pressed={isPaused} onClick={() => (isPaused ? resume() : setIsPaused(true))}>
          <Icon name={isPaused ? "play" : "pause"} />
          {isPaused ? words.resume : words.pause}
        </button>
        {fresh > 0 && (
          <button type="button" class="primary" onClick={resume}>
            {words.show(freshText)}
          </button>
        )}
        <span class="help" role="status">
          {isPaused ? words.paused : fresh > 0 ? words.held : ""}
        </span>
        <Announced text={freshText} />
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

/** Says a text that changes often to screen readers, now and then. */
function Announced({ text }: { readonly text: string }) {
  const [said, setSaid] = useState("");
  const latest = useRef(text);
  latest.current = text;
  useEffect(() => {
    const timer = setInterval(() => setSaid(latest.current), announceMs);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="hidden" role="status">
      {said}
    </span>
  );
}
