/** A status as a pill: an icon, a word and a colour, so that nobody has to tell colours apart. */
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon.tsx";

export type PillKind = "good" | "bad" | "warn" | "neutral";

const icons: Readonly<Record<PillKind, IconName | undefined>> = {
  good: "good",
  bad: "bad",
  warn: "warn",
  neutral: undefined,
};

export function Pill({ kind, children }: { readonly kind: PillKind; readonly children: ComponentChildren }) {
  const icon = icons[kind];
  return (
    <span class={`pill ${kind}`}>
      {icon && <Icon name={icon} />}
      {children}
    </span>
  );
}
