/** Masks secrets in text for logs and traces. */
export const mask = "********";
const apiKey = /\be_([A-Za-z0-9-]+)_([A-Za-z0-9-]+)_[A-Za-z0-9]+/g;
/** The form of generated node keys. Those that an operator chose have any form. */
const nodeKey = /\bn_([A-Za-z0-9-]+)_[0-9a-f]{16,}\b/g;
const bearer = /\b(Bearer|Basic) [\w.~+/=-]+/g;
const secretName = /(?:password|secret|token|authorization|nodekey|adminkey|apikey)$/i;

export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** Replaces keys and tokens in a text. */
export function maskSecrets(line: string): string {
  return line.replace(apiKey, `e_$1_$2_${mask}`).replace(nodeKey, `n_$1_${mask}`).replace(bearer, `$1 ${mask}`);
}
