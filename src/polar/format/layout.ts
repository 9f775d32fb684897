/** Decides where the lines of a document end. Without recursion: its depth is that of the text. */
import { must, unreachable } from "../../util/assert.ts";
import { type Doc, measure } from "./doc.ts";

/** Must be finite: no width is enough for what has to end a line. */
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
  /** Where lines begin; past the middle of the page no further to the right, or deep nesting would be nothing but blanks. */
  readonly indent: number;
  readonly isFlat: boolean;
}

/** What must stay on the line after the group, such as `);`. Past `most` the sum does not matter any more. */
function widthOfRest(waiting: readonly Waiting[], most: number): number {
  let width = 0;
  for (let index = waiting.length - 1; index >= 0; index -= 1) {
    const { lead, mayEnd } = measure(must(waiting[index]).doc);
    width += lead;
    if (mayEnd || width > most) break;
  }
  return width;
}
