/** Times as people read them: local ones in one format, and the same in UTC. Pure; the zone is that of the browser. */
import { texts } from "../texts.ts";

export interface TimeOptions {
  /** Whether milliseconds matter, as in a log. */
  readonly hasMs?: boolean;
  /** By default the zone of the browser. */
  readonly timeZone?: string | undefined;
}

/** `2 Dec 2026, 18:04:31` */
export function localTime(ms: number, { hasMs = false, timeZone }: TimeOptions = {}): string {
  const { day, month, year, hour, minute, second, fraction } = partsOf(ms, timeZone);
  return `${day} ${month} ${year}, ${hour}:${minute}:${second}${hasMs ? `.${fraction}` : ""}`;
}

/** `2 Dec 2026, 17:04:31 UTC` */
export function utcTime(ms: number, options: Pick<TimeOptions, "hasMs"> = {}): string {
  return texts.time.utc(localTime(ms, { ...options, timeZone: "UTC" }));
}

/** `18:04` or `18:04:31`, for an axis that spans hours or minutes. */
export function timeOfDay(ms: number, hasSeconds: boolean, timeZone?: string): string {
  const { hour, minute, second } = partsOf(ms, timeZone);
  return hasSeconds ? `${hour}:${minute}:${second}` : `${hour}:${minute}`;
}

/** `3 min ago`, `in 5 days`; it changes at most once a minute. */
export function relativeTime(ms: number, nowMs: number): string {
  const { ago, in: until, now } = texts.time;
  const distanceMs = Math.abs(nowMs - ms);
  if (distanceMs < minuteMs) return now;
  const { unitMs, name } = units.find(({ fromMs }) => distanceMs >= fromMs) ?? minutes;
  const text = texts.time[name](Math.floor(distanceMs / unitMs));
  return ms <= nowMs ? ago(text) : until(text);
}

/** The milliseconds since 1970; undefined for a text that is no time. */
export function timeIn(value: string | number): number | undefined {
  const ms = typeof value === "number" ? value : Date.parse(value);
  return Number.isFinite(ms) && Math.abs(ms) <= timeMsMax ? ms : undefined;
}

/** What a field for a local time shows; empty without a time. */
export function localFieldOf(time: string | undefined): string {
  const date = new Date(time ?? "");
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * minuteMs).toISOString().slice(0, 19);
}

/** The time with its zone that a field for a local time means; empty if it is not filled in. */
export function timeOfField(local: string): string {
  const date = new Date(local);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const minutes = { fromMs: minuteMs, unitMs: minuteMs, name: "minutes" } as const;
const units = [
  { fromMs: 2 * dayMs, unitMs: dayMs, name: "days" },
  { fromMs: hourMs, unitMs: hourMs, name: "hours" },
  minutes,
] as const;
/** Of a `Date`. */
const timeMsMax = 8.64e15;

type Parts = Record<"day" | "month" | "year" | "hour" | "minute" | "second" | "fraction", string>;

/** Making a formatter takes longer than all formatting of a screen. */
const formatters = new Map<string | undefined, Intl.DateTimeFormat>();

function partsOf(ms: number, timeZone: string | undefined): Parts {
  let formatter = formatters.get(timeZone);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat("en", {
      ...{ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" },
      ...{ hourCycle: "h23", timeZone },
    });
    formatters.set(timeZone, formatter);
  }
  const parts = Object.fromEntries(formatter.formatToParts(ms).map(({ type, value }) => [type, value])) as Parts;
  return {
    ...parts,
    fraction: String(((ms % 1000) + 1000) % 1000)
      .padStart(3, "0")
      .slice(0, 3),
  };
}
