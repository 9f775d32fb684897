/** A list as a statement parameter, which the statement reads with SQLite's `json_each`. */
export function jsonParameter(list: readonly unknown[]): string {
  return JSON.stringify(list);
}
