/** A new secret. It exists only here: leaving the screen, or the button, removes it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { administrationTexts } from "../texts/administration.ts";

const words = administrationTexts.secret;

export interface SecretProps {
  readonly title: string;
  readonly token: string;
  readonly onDone: () => void;
}

export function Secret({ title, token, onDone }: SecretProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [isCopied, setIsCopied] = useState(false);
  useEffect(() => heading.current?.focus(), [token]);
  // Pages that were not loaded over TLS have no clipboard.
  const { clipboard } = navigator as { readonly clipboard?: Clipboard };
  const copy = (): void => {
    void clipboard?.writeText(token).then(
      () => setIsCopied(true),
      () => setIsCopied(false),
    );
  };
  return (
    <section class="secret" aria-label={title}>
      <h2 ref={heading} tabIndex={-1}>
        {title}
      </h2>
      <p>{words.once}</p>
      <p>
        <code>{token}</code>
      </p>
      <div class="buttons">
        {clipboard !== undefined && (
          <button type="button" onClick={copy}>
            {isCopied ? words.copied : words.copy}
          </button>
        )}
        <button type="button" class="primary" onClick={onDone}>
          {words.done}
        </button>
      </div>
    </section>
  );
}
