/** Escapes invisible characters in all that the console renders, when Preact makes an element: a screen could forget it. */
import { Fragment, options } from "preact";
import { makeVisible } from "./visible-text.ts";

/** From now on. A component passes its texts on to elements. */
export function showInvisibleCharacters(): void {
  const before = options.vnode;
  options.vnode = (vnode) => {
    before?.(vnode);
    const { type, props } = vnode;
    if (typeof type === "string" || type === Fragment)
      makeVisible(String(type), props as unknown as Record<string, unknown>);
  };
}
