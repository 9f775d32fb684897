/** Which of several forms of an answer a client would rather have: its `Accept` header, as far as that matters here. */

/** The first of `types` where the header is missing, or names none of them. */
export function preferredType<Type extends string>(accept: string | null, types: readonly [Type, ...Type[]]): Type {
  const ranges = (accept ?? "").split(",").map(rangeOf);
  const wanted = ranges.filter(({ quality }) => quality > 0).toSorted((one, other) => other.quality - one.quality);
  for (const { range } of wanted) {
    const found = types.find((type) => type === range || range === "*/*" || range === `${type.split("/")[0]}/*`);
    if (found !== undefined) return found;
  }
  return types[0];
}

function rangeOf(text: string): { readonly range: string; readonly quality: number } {
  const [range = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const quality = Number(parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? 1);
  return { range, quality: Number.isNaN(quality) ? 1 : quality };
}
