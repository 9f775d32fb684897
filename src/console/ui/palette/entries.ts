/** The entries of the command palette: which there are for a login, and which a text finds. Pure. */
import type { Role } from "../api/responses.ts";
import { paletteTexts } from "../texts/palette.ts";

export type EntryGroup = keyof typeof paletteTexts.groups;

export interface PaletteEntry {
  readonly group: EntryGroup;
  readonly label: string;
  /** The address of a screen. */
  readonly href?: string;
  /** What it does instead. */
  readonly run?: () => void;
}

export interface RoleEntry extends PaletteEntry {
  /** The weakest role that may do it. */
  readonly role: Role;
}

const { actions } = paletteTexts;

/** Actions that lead to the screen where they are done. */
export const screenActions: readonly RoleEntry[] = [
  { group: "action", label: actions.ask, href: "#/ask", role: "read" },
  { group: "action", label: actions.insert, href: "#/facts", role: "write" },
  { group: "action", label: actions.policy, href: "#/policy", role: "write" },
  { group: "action", label: actions.key, href: "#/administration/keys", role: "admin" },
  { group: "action", label: actions.samples, href: "#/start", role: "read" },
  { group: "action", label: actions.open, href: "#/open", role: "read" },
];

const entriesMax = 30;

/** The entries with all words of the text: first those that begin with it, then those with words that begin with them. */
export function entriesWith(entries: readonly PaletteEntry[], text: string): readonly PaletteEntry[] {
  const written = text.trim().toLowerCase();
  const words = written.split(/\s+/).filter((word) => word !== "");
  const rank = ({ label }: PaletteEntry): number => {
    const lower = label.toLowerCase();
    if (lower.startsWith(written)) return 0;
    return words.every((word) => lower.split(/[\s:]+/).some((part) => part.startsWith(word))) ? 1 : 2;
  };
  return entries
    .filter(({ label }) => words.every((word) => label.toLowerCase().includes(word)))
    .toSorted((one, other) => rank(one) - rank(other))
    .slice(0, entriesMax);
}
