/** Masks secrets in text for logs and traces. */
export const mask = "********";
const apiKey = /\be_([A-Za-z0-9-]+)_([A-Za-z0-9-]+)_[A-Za-z0-9]+/g;
/** The form of generated node keys. Those that an operator chose have any form. */
const nodeKey = /\bn_([A-Za-z0-9-]+)_[0-9a-f]{16,}\b/g;
const bearer = /\b(Bearer|Basic) [\w.~+/=-]+/g;
/** A JSON Web Token. The text before it is checked first, so that each character is read only a few times. */
const jwt = /(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]+/g;
const secretName = /(?:password|secret|token|authorization|nodekey|adminkey|apikey)$/i;
/**
 * The user information after the `://` of a URL, up to the last `@` of the word: a password that was not encoded can
 * contain `@`, `/`, `?` and `#`. A host with a path has none. A quotation mark ends the word, so that JSON stays JSON.
 */
const userInformation = /^(?!(?:\[[\da-f:.]*\]|[^\s/?#":@[\]]*)(?::\d*)?[/?#])[^\s"\\]*(?:\\.[^\s"\\]*)*@/i;

export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** Replaces keys, tokens, and the user information of URLs in a text. The work is linear in its length. */
export function maskSecrets(text: string): string {
  const masked = text
    .replace(apiKey, `e_$1_$2_${mask}`)
    .replace(nodeKey, `n_$1_${mask}`)
    .replace(jwt, mask)
    .replace(bearer, `$1 ${mask}`);
  const [before = "", ...urls] = masked.split("://");
  return [before, ...urls.map((url) => url.replace(userInformation, `${mask}@`))].join("://");
}
