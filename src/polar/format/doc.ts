/**
 * Text whose line breaks are still open: the usual small algebra of pretty printers (Wadler's, with the groups of Prettier). A group stands
 * on one line where it fits, and otherwise ends the line at each of its own `line`s. Widths are added up while a document is built, so that
 * "does it fit" never looks inside: laying out stays linear, however large or nested the text is.
 */
export type Doc = string | Concat | Indent | Group | Line | Suffix;

interface Measured {
  /** The width on one line; infinite where a line has to end inside. */
  readonly flat: number;
  /** The width up to the first place inside where the line may end, or of everything where it may not. */
  readonly lead: number;
  readonly mayEnd: boolean;
}

interface Concat extends Measured {
  readonly kind: "concat";
  readonly parts: readonly Doc[];
}

/** Lines that begin inside stand further to the right. */
interface Indent extends Measured {
  readonly kind: "indent";
  readonly content: Doc;
}

interface Group extends Measured {
  readonly kind: "group";
  readonly content: Doc;
}

interface Line extends Measured {
  readonly kind: "line";
  /** What stands in its place where the line goes on. */
  readonly joint: string;
  /** What stands before it where the line ends. */
  readonly ending: string;
  /** An empty line follows where the line ends. */
  readonly blank: boolean;
}

/** Stands at the end of the line, whatever else comes on it, and does not count for its width. */
interface Suffix extends Measured {
  readonly kind: "suffix";
  readonly text: string;
}

export function concat(parts: readonly Doc[]): Concat {
  const sum = { flat: 0, lead: 0, mayEnd: false };
  for (const part of parts) {
    const { flat, lead, mayEnd } = measure(part);
    sum.flat += flat;
    if (!sum.mayEnd) sum.lead += lead;
    sum.mayEnd ||= mayEnd;
  }
  return { kind: "concat", parts, ...sum };
}

export function indent(parts: readonly Doc[]): Doc {
  const content = concat(parts);
  const { flat, lead, mayEnd } = content;
  return { kind: "indent", content, flat, lead, mayEnd };
}

export function group(parts: readonly Doc[]): Doc {
  const content = concat(parts);
  const { flat, lead, mayEnd } = content;
  return { kind: "group", content, flat, lead, mayEnd };
}

export function line(joint: string, { ending = "", blank = false } = {}): Doc {
  return { kind: "line", joint, ending, blank, flat: joint.length, lead: ending.length, mayEnd: true };
}

export function hardLine(blank = false): Doc {
  return { kind: "line", joint: "", ending: "", blank, flat: Infinity, lead: 0, mayEnd: true };
}

export function suffix(text: string): Doc {
  return { kind: "suffix", text, flat: 0, lead: 0, mayEnd: false };
}

export function measure(doc: Doc): Measured {
  return typeof doc === "string" ? { flat: doc.length, lead: doc.length, mayEnd: false } : doc;
}

/** It cannot stand on one line. */
export function isTall(doc: Doc): boolean {
  return measure(doc).flat === Infinity;
}
