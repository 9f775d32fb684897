/** Conditions of longhand rules, printed with as few parentheses as possible. */

export type Condition =
  | boolean
  | { readonly kind: "atom"; readonly text: string }
  | { readonly kind: "and"; readonly parts: readonly Condition[] }
  | { readonly kind: "or"; readonly parts: readonly Condition[] }
  | { readonly kind: "not"; readonly part: Condition };

export function atom(text: string): Condition {
  return { kind: "atom", text };
}

export function and(...conditions: readonly Condition[]): Condition {
  return join("and", conditions, true);
}

export function or(...conditions: readonly Condition[]): Condition {
  return join("or", conditions, false);
}

export function not(part: Condition): Condition {
  return typeof part === "boolean" ? !part : { kind: "not", part };
}

/** `neutral` changes nothing among the conditions, and its opposite decides them. */
function join(kind: "and" | "or", conditions: readonly Condition[], neutral: boolean): Condition {
  if (conditions.includes(!neutral)) return !neutral;
  const all = conditions
    .filter((condition) => condition !== neutral)
    .flatMap((condition) => (isKind(condition, kind) ? condition.parts : [condition]));
  // One of several equal atoms, which is the common repetition.
  const byText = all.map((part): [unknown, Condition] => [isKind(part, "atom") ? part.text : part, part]);
  const parts = [...new Map(byText).values()];
  const [first = neutral] = parts;
  return parts.length < 2 ? first : { kind, parts };
}

function isKind<K extends "and" | "or" | "atom">(
  condition: Condition,
  kind: K,
): condition is Extract<Condition, { readonly kind: K }> {
  return typeof condition !== "boolean" && condition.kind === kind;
}

export function printCondition(condition: Condition): string {
  if (typeof condition === "boolean") return String(condition);
  switch (condition.kind) {
    case "atom":
      return condition.text;
    case "not":
      return `not ${printPart(condition.part)}`;
    default:
      return condition.parts
        .map((part) =>
          condition.kind === "and" || isKind(part, "and") ? printPart(part, condition.kind) : printCondition(part),
        )
        .join(` ${condition.kind} `);
  }
}

/** `and` binds tighter than `or`; a mixture gets parentheses for the reader. */
function printPart(part: Condition, within?: "and" | "or"): string {
  const isJoined = isKind(part, "and") || isKind(part, "or");
  return isJoined && (within === undefined || !isKind(part, within))
    ? `(${printCondition(part)})`
    : printCondition(part);
}
