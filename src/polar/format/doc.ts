/**
 * The document algebra of the pretty printer (Wadler's, with the groups of Prettier): text with undecided line breaks.
 * A group is on one line if it fits; otherwise each of its own `line`s breaks. Constructors sum the widths, so that the
 * test whether a group fits never descends into it: the layout takes linear time for text of any size and nesting.
 */
export type Doc = string | Concat | Indent | Group | Line | Suffix;

interface Measured {
  /** The width on one line; infinite if it contains a hard line break. */
  readonly flat: number;
  /** The width up to the first possible line break inside, or the whole width if there is none. */
  readonly lead: number;
  readonly mayEnd: boolean;
}

interface Concat extends Measured {
  readonly kind: "concat";
  readonly parts: readonly Doc[];
}

/** Lines that begin inside are indented. */
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
  /** The text instead of the break if the line continues. */
  readonly joint: string;
  /** The text before the break if the line ends. */
  readonly ending: string;
  /** Whether an empty line follows if the line ends. */
  readonly blank: boolean;
}

/** Text that moves to the end of its line and does not count for the width. */
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

/** True if the document cannot be on one line. */
export function isTall(doc: Doc): boolean {
  return measure(doc).flat === Infinity;
}
