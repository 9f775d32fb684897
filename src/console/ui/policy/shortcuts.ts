/** Keyboard shortcuts of a screen: a key together with Ctrl, or with Cmd on a Mac. */
import { useEffect, useRef } from "preact/hooks";

export interface Shortcuts {
  readonly s: () => void;
  readonly Enter: () => void;
}

/** They come before those of the editor and of the browser, and do nothing while a dialog is open. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
      if (!(ctrlKey || metaKey) || altKey || shiftKey || (key !== "s" && key !== "Enter")) return;
      event.preventDefault();
      event.stopPropagation();
      if (!event.repeat && document.querySelector("dialog[open]") === null) latest.current[key]();
    };
    addEventListener("keydown", onKeyDown, { capture: true });
    return () => removeEventListener("keydown", onKeyDown, { capture: true });
  }, []);
}
