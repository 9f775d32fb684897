/** Times of a filter that are relative to now: `-15m`. They stay so in an address, and become a time with each request. Pure. */
import { filterTexts } from "../texts/filters.ts";

/** What a menu offers, with the names. Others can stand in an address. */
export const relativeTimes: Readonly<Record<string, string>> = filterTexts.relative;

const pattern = /^-(\d{1,4})([mhd])$/;
const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

export function isRelativeTime(text: string): boolean {
  return pattern.test(text) || text === "today";
}

/** The time as the API takes it. `today` begins at midnight of the browser's zone. Other texts stay as they are. */
export function timeAt(text: string, nowMs: number): string {
  if (text === "today") return new Date(new Date(nowMs).setHours(0, 0, 0, 0)).toISOString();
  const [, count, unit = ""] = pattern.exec(text) ?? [];
  return count === undefined ? text : new Date(nowMs - Number(count) * (unitMs[unit] ?? 0)).toISOString();
}
