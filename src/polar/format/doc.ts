/**
 * The document algebra of the pretty printer (Wadler's, with the groups of Prettier): text with undecided line breaks.
 * A group is on one line if it fits; otherwise its own `line`s break. Constructors sum the widths, so that the test
 * never descends into the group, and the layout takes linear time.
 */
import { must, unreachable } from "../../util/assert.ts";

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

function measure(doc: Doc): Measured {
  return typeof doc === "string" ? { flat: doc.length, lead: doc.length, mayEnd: false } : doc;
}

/** True if the document cannot be on one line. */
export function isTall(doc: Doc): boolean {
  return measure(doc).flat === Infinity;
}

/**
 * Decides where lines end, without recursion: documents nest as deep as the text. `width` must be finite, because a
 * hard line break has an infinite width.
 */
export function layout(doc: Doc, width: number): string {
  const output: string[] = [];
  const waiting: Waiting[] = [{ doc, indent: 0, isFlat: false }];
  let column = 0;
  let suffix = "";
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { doc, indent, isFlat } = next;
    if (typeof doc === "string") {
      output.push(doc);
      column += doc.length;
      continue;
    }
    switch (doc.kind) {
      case "concat":
        for (const part of doc.parts.toReversed()) waiting.push({ doc: part, indent, isFlat });
        break;
      case "indent":
        waiting.push({ doc: doc.content, indent: Math.min(indent + 2, width / 2), isFlat });
        break;
      case "group": {
        const fits = isFlat || column + doc.flat + widthOfRest(waiting, width) <= width;
        waiting.push({ doc: doc.content, indent, isFlat: fits });
        break;
      }
      case "suffix":
        suffix = doc.text;
        break;
      case "line":
        if (isFlat) {
          output.push(doc.joint);
          column += doc.joint.length;
        } else {
          output.push(doc.ending, suffix, doc.blank ? "\n\n" : "\n", " ".repeat(indent));
          suffix = "";
          column = indent;
        }
        break;
      default:
        unreachable(doc);
    }
  }
  output.push(suffix);
  return output.join("");
}

interface Waiting {
  readonly doc: Doc;
  /** The column where lines begin. It is at most the middle of the page, so that deep nesting leaves room for text. */
  readonly indent: number;
  readonly isFlat: boolean;
}

/** The width of the text that must stay on the line after the group, such as `);`. The sum stops at `most`. */
function widthOfRest(waiting: readonly Waiting[], most: number): number {
  let width = 0;
  for (let index = waiting.length - 1; index >= 0; index -= 1) {
    const { lead, mayEnd } = measure(must(waiting[index]).doc);
    width += lead;
    if (mayEnd || width > most) break;
  }
  return width;
}
