/**
 * Makes invisible and misleading characters visible in the texts of an element: ids, names and messages can hold
 * characters that hide text, turn its direction or break its line, so that one id looks like another one. Pure.
 */
import { printable, printableLines } from "../../../util/printable.ts";

/** The attributes that browsers show or say. */
const shownAttributes = ["title", "aria-label", "alt", "placeholder", "label"] as const;
/** Elements that keep line breaks. */
const preformatted: ReadonlySet<string> = new Set(["pre", "code"]);

/** Replaces texts among the children and the shown attributes in place. The value of a field stays exact. */
export function makeVisible(element: string, props: Record<string, unknown>): void {
  const escape = preformatted.has(element) ? printableLines : printable;
  if (props["children"] !== undefined) props["children"] = visibleChildren(props["children"], escape);
  for (const name of shownAttributes) {
    const text = props[name];
    if (typeof text === "string") props[name] = printable(text);
  }
}

function visibleChildren(children: unknown, escape: (text: string) => string): unknown {
  if (typeof children === "string") return escape(children);
  return Array.isArray(children) ? children.map((child: unknown) => visibleChildren(child, escape)) : children;
}
