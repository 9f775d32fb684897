/** The command palette: one input that finds screens, actions, objects and sections of the manual (ARIA combobox). */
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatValue, parseValue, type Value } from "../facts/fact-text.ts";
import { objectRoute } from "../facts/fact-view.tsx";
import { useIds } from "../facts/use-ids.ts";
import { loadPages } from "../manual/load-pages.ts";
import type { ManualPage } from "../manual/pages.ts";
import { search } from "../manual/search.ts";
import { routeTo } from "../state/route.ts";
import { may, otherLogins, showEnvironment } from "../state/session.ts";
import { chooseTheme } from "../state/theme.ts";
import { manualTexts } from "../texts/manual.ts";
import { paletteTexts as words } from "../texts/palette.ts";
import { entriesWith, type EntryGroup, type PaletteEntry, screenActions } from "./entries.ts";
import type { PaletteProps } from "./palette-props.ts";
import { recentObjects } from "./recent-objects.ts";

const sectionsMax = 8;

export function Palette({ login, screens, onClose }: PaletteProps & { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const [text, setText] = useState("");
  const [index, setIndex] = useState(0);
  const id = useId();
  const pages = useManual();
  const ids = useIds(text, true);
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    // Gives the focus back.
    return () => shown?.close();
  }, []);
  useEffect(() => {
    list.current?.children.item(index)?.scrollIntoView({ block: "nearest" });
  }, [index]);

  const written = parseValue(text);
  const objects = [...(written === undefined ? [] : [written]), ...ids].map((value) => objectEntry("object", value));
  const found = [
    ...entriesWith(
      [
        ...recentObjects(login.who.environment).map((value) => objectEntry("recent", value)),
        ...screens
          .filter(({ role, isLinkedOnly }) => may(login, role) && isLinkedOnly !== true)
          .map(({ name, title }): PaletteEntry => ({ group: "screen", label: title, href: routeTo(name) })),
        ...screenActions.filter(({ role }) => may(login, role)),
        ...themeEntries,
        ...otherLogins().map(({ who: { environment } }) => environmentEntry(environment)),
      ],
      text,
    ),
    ...distinct(objects),
    ...(text.trim().length < 2 ? [] : search(pages, text).slice(0, sectionsMax)).map(({ section }): PaletteEntry => {
      const page = pages.find(({ name }) => name === section.page);
      const parts = section.anchor === "" ? [section.page] : [section.page, section.anchor];
      const label = manualTexts.foundIn(page?.title ?? section.page, section.heading);
      return { group: "manual", label, href: routeTo("manual", parts) };
    }),
  ];
  const marked = Math.min(index, found.length - 1);
  const take = (entry: PaletteEntry | undefined): void => {
    if (entry === undefined) return;
    dialog.current?.close();
    onClose();
    if (entry.href !== undefined) location.hash = entry.href;
    entry.run?.();
  };
  const press = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && found.length > 0) {
      event.preventDefault();
      setIndex((marked + step + found.length) % found.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(found[marked]);
    }
  };
  return (
    <dialog
      ref={dialog}
      class="palette"
      aria-label={words.title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      // A click beside it is on the dialog itself.
      onClick={({ target, currentTarget }) => target === currentTarget && onClose()}
    >
      <div>
        <input
          role="combobox"
          aria-label={words.input}
          placeholder={words.input}
          aria-expanded={found.length > 0}
          aria-controls={`${id}-list`}
          aria-autocomplete="list"
          aria-activedescendant={found.length > 0 ? `${id}-${marked}` : undefined}
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={({ currentTarget }) => {
            setText(currentTarget.value);
            setIndex(0);
          }}
          onKeyDown={press}
        />
        <p role="status" class={found.length === 0 ? "help" : "hidden"}>
          {found.length === 0 ? words.none : words.found(found.length)}
        </p>
        <ul ref={list} id={`${id}-list`} role="listbox" aria-label={words.list} hidden={found.length === 0}>
          {found.map((entry, place) => (
            <li
              key={`${entry.group} ${entry.label} ${entry.href}`}
              id={`${id}-${place}`}
              role="option"
              aria-selected={place === marked}
              onPointerDown={(event) => event.preventDefault()}
              onClick={() => take(entry)}
            >
              <span>{entry.label}</span> <small>{words.groups[entry.group]}</small>
            </li>
          ))}
        </ul>
      </div>
    </dialog>
  );
}

function objectEntry(group: EntryGroup, value: Value): PaletteEntry {
  return { group, label: formatValue(value), href: objectRoute(value) };
}

function distinct(entries: readonly PaletteEntry[]): PaletteEntry[] {
  return [...new Map(entries.map((entry) => [entry.href, entry])).values()];
}

/** The first screen there: what is shown here may not be in the other environment. */
function environmentEntry(environment: string): PaletteEntry {
  const run = (): void => {
    location.hash = routeTo("");
    showEnvironment(environment);
  };
  return { group: "environment", label: words.switchTo(environment), run };
}

const themeEntries: readonly PaletteEntry[] = (["light", "dark", "system"] as const).map((theme) => ({
  group: "action",
  label: words.actions[theme],
  run: () => chooseTheme(theme),
}));

/** Empty while it is loaded. */
function useManual(): readonly ManualPage[] {
  const [pages, setPages] = useState<readonly ManualPage[]>([]);
  useEffect(() => {
    const controller = new AbortController();
    loadPages(controller.signal).then(
      setPages,
      // Everything else is found without it.
      () => {},
    );
    return () => controller.abort();
  }, []);
  return pages;
}
