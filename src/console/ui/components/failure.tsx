/** Says that something could not be loaded, and why. Nothing without an error. */
import { messageOf } from "../api/error-text.ts";
import { texts } from "../texts.ts";

export function Failure({ error }: { readonly error: unknown }) {
  if (error === undefined) return null;
  return (
    <p class="failure" role="alert">
      {texts.node.failed} {messageOf(error, texts.node.noAnswer)}
    </p>
  );
}

/** Why something that a person asked for was not done. Nothing without an error. */
export function Refusal({ error }: { readonly error: unknown }) {
  return (
    <p role="alert" class="failure">
      {error === undefined ? "" : messageOf(error, texts.node.uncertain)}
    </p>
  );
}
