/** Says why something that a person asked for was not done. */
import { messageOf } from "../api/error-text.ts";
import { texts } from "../texts.ts";

/** Nothing without an error. */
export function Refusal({ error }: { readonly error: unknown }) {
  return (
    <p role="alert" class="failure">
      {error === undefined ? "" : messageOf(error, texts.node.uncertain)}
    </p>
  );
}
