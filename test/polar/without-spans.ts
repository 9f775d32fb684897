/** A tree or a policy as text without the places of its parts: what must be the same of two spellings. */
export function withoutPlaces(tree: unknown): string {
  return JSON.stringify(tree, (key, value: unknown) => {
    if (key === "span") return undefined;
    if (key === "setupSpan") return value !== undefined;
    return value instanceof Map ? [...value] : value;
  });
}
