/** The databases that local authorization writes SQL for. */
export const dialectNames = ["postgres", "mysql", "sqlite"] as const;
export type DialectName = (typeof dialectNames)[number];
