/** A text to copy, such as a command. */
import { useState } from "preact/hooks";
import { askTexts } from "../texts/ask.ts";

const words = askTexts.share;

export interface SnippetProps {
  readonly title: string;
  readonly text: string;
  readonly help?: string;
}

export function Snippet({ title, text, help }: SnippetProps) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = (): void => void navigator.clipboard.writeText(text).then(() => setIsCopied(true));
  return (
    <details class="snippet">
      <summary>{title}</summary>
      {help !== undefined && <p class="help">{help}</p>}
      <pre tabIndex={0} aria-label={title}>
        {text}
      </pre>
      {/* Browsers give pages without TLS no access to the clipboard. */}
      {isSecureContext && (
        <button type="button" onClick={copy} aria-label={`${words.copy}: ${title}`}>
          {words.copy}
        </button>
      )}{" "}
      <span role="status">{isCopied && words.copied}</span>
    </details>
  );
}
