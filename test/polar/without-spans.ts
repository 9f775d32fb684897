/** A tree or a policy as text without spans, which two spellings of it have in common. */
export function withoutSpans(tree: unknown): string {
  return JSON.stringify(tree, (key, value: unknown) => {
    if (key === "span") return undefined;
    if (key === "setupSpan") return value !== undefined;
    return value instanceof Map ? [...value] : value;
  });
}
