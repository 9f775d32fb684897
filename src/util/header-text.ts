/**
 * Text in an HTTP header: `%` and all characters but printable ASCII are percent-encoded UTF-8, as in the header
 * `grpc-message`. So no name in the text can add a line or another header.
 */

/** Says which names of a question the policy does not have. */
export const hintHeader = "Ostiary-Hint";

/** Of the encoded text: proxies refuse responses with much larger headers. */
const lengthMax = 1000;

/** The text as the value of a header, cut if it is too long. */
export function headerText(text: string): string {
  let encoded = "";
  for (const character of text.toWellFormed()) {
    const next = /[ -$&-~]/.test(character) ? character : encodeURIComponent(character);
    if (encoded.length + next.length > lengthMax - cut.length) return encoded + cut;
    encoded += next;
  }
  return encoded;
}

const cut = " ...";

/** The text that a header has. */
export function textOfHeader(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
