/** The setting `nodeKey`: one key, or two with a space or a line break between them, while operators replace it. */

/** The first key is the one that the node uses. */
export function nodeKeysIn(setting: string): readonly [first: string, ...others: string[]] {
  const [first = "", ...others] = setting.trim().split(/\s+/);
  return [first, ...others];
}

export const nodeKeyAllowed =
  "16 to 256 printable characters without spaces, the same on all nodes; while it is replaced, two different ones with a space or a line break between them, one of them random";

export function isNodeKeySetting(text: string): boolean {
  const keys = nodeKeysIn(text);
  if (keys.length > 2 || !keys.every((key) => /^[\x21-\x7e]{16,256}$/.test(key))) return false;
  // A weak key can be the old one of two. Alone it only gets a warning, because a node of 0.1.0 may have one.
  return keys.length === 1 || (keys[0] !== keys[1] && !keys.every(isWeakNodeKey));
}

/** Whether a key has so few different characters that it is probably a repeated word. */
export function isWeakNodeKey(key: string): boolean {
  return new Set(key).size < 8;
}
