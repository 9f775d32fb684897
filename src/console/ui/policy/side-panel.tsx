/** Tabs and their panels (the pattern "tabs" of WAI-ARIA): the arrow keys choose a tab, and panels keep their state. */
import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";
import type { PillKind } from "../components/pill.tsx";

export interface SideTab<Name extends string> {
  readonly name: Name;
  readonly title: string;
  /** A short result that is seen without opening the tab. */
  readonly badge?: { readonly kind: PillKind; readonly text: string } | undefined;
  readonly content: ComponentChildren;
}

export interface SidePanelProps<Name extends string> {
  readonly label: string;
  readonly tabs: readonly SideTab<Name>[];
  readonly shown: Name;
  readonly onShow: (name: Name) => void;
}

export function SidePanel<Name extends string>({ label, tabs, shown, onShow }: SidePanelProps<Name>) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = tabs.findIndex(({ name }) => name === shown);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    const tab = next === undefined ? undefined : tabs.at(next % tabs.length);
    if (tab === undefined) return;
    event.preventDefault();
    onShow(tab.name);
    list.current?.querySelector<HTMLElement>(`[data-tab="${tab.name}"]`)?.focus();
  };
  return (
    <div class="side-panel">
      <div ref={list} class="tabs" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
        {tabs.map(({ name, title, badge }) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`${id}-${name}`}
            data-tab={name}
            aria-selected={name === shown}
            aria-controls={`${id}-${name}-panel`}
            tabIndex={name === shown ? 0 : -1}
            onClick={() => onShow(name)}
          >
            {title} {badge && <span class={`pill ${badge.kind}`}>{badge.text}</span>}
          </button>
        ))}
      </div>
      {tabs.map(({ name, title, content }) => (
        <div
          key={name}
          role="tabpanel"
          id={`${id}-${name}-panel`}
          class="side-content"
          aria-label={title}
          tabIndex={0}
          hidden={name !== shown}
        >
          {content}
        </div>
      ))}
    </div>
  );
}
