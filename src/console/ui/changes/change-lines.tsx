/** What a change added and removed, one line each. */
import { changesTexts as words } from "../texts/changes.ts";
import type { Change } from "./change.ts";

export function ChangeLines({ change: { lines, more } }: { readonly change: Change }) {
  if (lines.length === 0) return null;
  return (
    <ul class="lines">
      {lines.map((line) => (
        <li key={line}>
          <code>{line}</code>
        </li>
      ))}
      {more > 0 && <li>{words.more(more)}</li>}
    </ul>
  );
}
