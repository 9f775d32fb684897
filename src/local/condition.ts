/** Conditions in SQL that fold: one that is true or false for every row has no text. */
export type SqlCondition = boolean | string;

export function allOf(conditions: readonly SqlCondition[]): SqlCondition {
  if (conditions.includes(false)) return false;
  const texts = distinct(conditions);
  return texts.length === 0 ? true : texts.join(" AND ");
}

export function anyOf(conditions: readonly SqlCondition[]): SqlCondition {
  if (conditions.includes(true)) return true;
  const texts = distinct(conditions);
  if (texts.length === 0) return false;
  return texts.length === 1 ? (texts[0] ?? false) : `(${texts.map((text) => `(${text})`).join(" OR ")})`;
}

/** None of the terms may be NULL, since `NOT NULL` is not true. */
export function noneOf(conditions: readonly SqlCondition[]): SqlCondition {
  const some = anyOf(conditions);
  return typeof some === "boolean" ? !some : `NOT (${some})`;
}

export function conditionSql(condition: SqlCondition): string {
  return typeof condition === "string" ? condition : condition ? "TRUE" : "FALSE";
}

function distinct(conditions: readonly SqlCondition[]): string[] {
  return [...new Set(conditions.filter((condition) => typeof condition === "string"))];
}
