/** What a statement's parameters stand for: their names, as `statement.ts` gives them, read once a plan and not with each question. */

export type ParameterBinding =
  /** The id of the value, or a list of those of the values, that the question gives for a variable. */
  | { readonly kind: "value" | "values"; readonly variable: number }
  /** The context facts of a predicate key. */
  | { readonly kind: "context"; readonly predicate: string }
  /** The clock, as the id of an Integer or as seconds; the most rows. */
  | { readonly kind: "now" | "nowSeconds" | "limit" }
  /** The values that the store does not have. */
  | { readonly kind: "requestSymbols" };

export function parameterBinding(name: string): ParameterBinding {
  const colon = name.indexOf(":");
  const [kind, rest] = colon < 0 ? [name, ""] : [name.slice(0, colon), name.slice(colon + 1)];
  switch (kind) {
    case "value":
    case "values":
      return { kind, variable: Number(rest) };
    case "context":
      return { kind, predicate: rest };
    case "now":
    case "nowSeconds":
    case "limit":
    case "requestSymbols":
      return { kind };
    default:
      throw new Error(`broken assumption: unknown parameter ${name}`);
  }
}
