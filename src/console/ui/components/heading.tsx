/** The heading of a screen. It names the page, and gets the focus when the screen opens, so that screen readers say it. */
import { useEffect, useRef } from "preact/hooks";
import { printable } from "../../../util/printable.ts";
import { texts } from "../texts.ts";

export function Heading({ text }: { readonly text: string }) {
  const element = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = printable(texts.title(text));
    element.current?.focus({ preventScroll: true });
  }, [text]);
  return (
    <h1 ref={element} tabIndex={-1}>
      {text}
    </h1>
  );
}
