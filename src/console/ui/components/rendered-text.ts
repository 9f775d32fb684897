/** Escapes invisible characters in all that the console renders, when Preact makes an element: a screen could forget it. */
import { Fragment, options } from "preact";
import { printableLines } from "../../../util/printable.ts";
import { makeVisible } from "./visible-text.ts";

/** From now on. A component passes its texts on to elements. */
export function showInvisibleCharacters(): void {
  const before = options.vnode;
  options.vnode = (vnode) => {
    before?.(vnode);
    const { type, props } = vnode as { readonly type: unknown; props: unknown };
    // The text of a component that renders nothing but a text; that of an element is escaped already.
    if (type === null && typeof props === "string") (vnode as { props: unknown }).props = printableLines(props);
    if (typeof type === "string" || type === Fragment) makeVisible(String(type), props as Record<string, unknown>);
  };
}
