/**
 * The layout: decides where the lines of a document end. It does not recurse, because documents nest as deep as the
 * text.
 */
import { must, unreachable } from "../../util/assert.ts";
import { type Doc, measure } from "./doc.ts";

/** `width` must be finite, because a hard line break has an infinite width. */
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
