/** Opens the command palette, also with Ctrl+K, on a Mac Cmd+K. Its code is loaded then. */
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../components/icon.tsx";
import { useCode } from "../state/code.ts";
import { paletteTexts as words } from "../texts/palette.ts";
import type { PaletteProps } from "./palette-props.ts";
import { watchObjects } from "./recent-objects.ts";

const isMac = /Mac/.test(navigator.userAgent);

export function PaletteButton(props: PaletteProps) {
  const [isOpen, setIsOpen] = useState(false);
  useEffect(watchObjects, []);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const isShortcut = event.key.toLowerCase() === "k" && (isMac ? event.metaKey : event.ctrlKey);
      if (!isShortcut || event.altKey || event.shiftKey) return;
      // A dialog asks something first.
      if (document.querySelector("dialog[open]") !== null) return;
      event.preventDefault();
      setIsOpen(true);
    };
    // Before an editor takes the key.
    document.addEventListener("keydown", press, { capture: true });
    return () => document.removeEventListener("keydown", press, { capture: true });
  }, []);
  return (
    <>
      <button type="button" class="palette-button" aria-keyshortcuts="Control+K Meta+K" onClick={() => setIsOpen(true)}>
        <Icon name="search" />
        {words.open}
        <kbd aria-hidden="true">{words.keys}</kbd>
      </button>
      {isOpen && <LoadedPalette {...props} onClose={() => setIsOpen(false)} />}
    </>
  );
}

function LoadedPalette(props: PaletteProps & { readonly onClose: () => void }) {
  const code = useCode("palette", () => import("./palette.tsx"));
  return code.data === undefined ? null : <code.data.Palette {...props} />;
}
