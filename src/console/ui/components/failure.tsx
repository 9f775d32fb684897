/** Says that something could not be loaded, and why. Nothing without an error. */
import { ApiError, NoAnswerError } from "../api/node-api.ts";
import { texts } from "../texts.ts";

export function Failure({ error }: { readonly error: unknown }) {
  // The banner of the page says so already.
  if (error === undefined || error instanceof NoAnswerError) return null;
  return (
    <p class="failure" role="alert">
      {texts.node.failed} {messageOf(error)}
    </p>
  );
}

/** The message of the node, or of an unexpected error. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiError || error instanceof Error) return error.message;
  return String(error);
}
