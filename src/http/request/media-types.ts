/** Content negotiation: which of several media types a client prefers. */

/**
 * The media type that a client prefers according to its `Accept` header: the first of `types` if the header is missing
 * or accepts none of them. The parameters of a media range, such as `charset`, are ignored; libraries for content
 * negotiation compare them, so that `text/event-stream; charset=utf-8` would not match.
 */
export function preferredType<Type extends string>(accept: string | null, types: readonly [Type, ...Type[]]): Type {
  for (const range of acceptedTypes(accept)) {
    const found = types.find((type) => type === range || range === "*/*" || range === `${type.split("/")[0]}/*`);
    if (found !== undefined) return found;
  }
  return types[0];
}

/** The media ranges of an `Accept` header, the preferred ones first. */
export function acceptedTypes(accept: string | null): string[] {
  const ranges = (accept ?? "").split(",").map(rangeOf);
  const wanted = ranges.filter(({ quality }) => quality > 0).toSorted((one, other) => other.quality - one.quality);
  return wanted.map(({ range }) => range);
}

function rangeOf(text: string): { readonly range: string; readonly quality: number } {
  const [range = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const quality = Number(parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? 1);
  return { range, quality: Number.isNaN(quality) ? 1 : quality };
}
