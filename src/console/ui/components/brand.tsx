/** The mark and the name of the product. The mark is that of `icon.svg`: an open gate. */
import { texts } from "../texts.ts";

export function Brand() {
  return (
    <>
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="var(--accent)" />
        <path d="M9 26V13a7 7 0 0 1 14 0v13h-5V13a2 2 0 0 0-4 0v13z" fill="var(--on-accent)" />
      </svg>
      {texts.product}
    </>
  );
}
