/** Masks secrets in text for logs and traces. */
export const mask = "********";
const apiKey = /\be_([A-Za-z0-9-]+)_([A-Za-z0-9-]+)_[A-Za-z0-9]+/g;
const bearer = /\b(Bearer|Basic) [\w.~+/=-]+/g;
const secretName = /(?:password|secret|token|authorization|nodekey|adminkey|apikey)$/i;

export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** Replaces keys and tokens in a text. */
export function maskSecrets(line: string): string {
  return line.replace(apiKey, `e_$1_$2_${mask}`).replace(bearer, `$1 ${mask}`);
}
