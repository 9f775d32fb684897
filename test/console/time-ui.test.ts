/** Times of the console: one local format, in every zone, with the UTC time. */
import { describe, expect, test } from "bun:test";
import {
  localFieldOf,
  localTime,
  relativeTime,
  timeIn,
  timeOfDay,
  timeOfField,
  utcTime,
} from "../../src/console/ui/components/times.ts";

const at = Date.parse("2026-12-02T17:04:31.007Z");

describe("a time", () => {
  test.each([
    ["UTC", "2 Dec 2026, 17:04:31"],
    ["Europe/Vienna", "2 Dec 2026, 18:04:31"],
    ["Asia/Kolkata", "2 Dec 2026, 22:34:31"],
    ["Pacific/Kiritimati", "3 Dec 2026, 07:04:31"],
    ["America/Los_Angeles", "2 Dec 2026, 09:04:31"],
  ])("has the same format in %s", (timeZone, text) => {
    expect(localTime(at, { timeZone })).toBe(text);
    expect(localTime(at, { timeZone, hasMs: true })).toBe(`${text}.007`);
    expect(utcTime(at)).toBe("2 Dec 2026, 17:04:31 UTC");
  });

  test("follows summer time, and midnight is 00", () => {
    const timeZone = "Europe/Vienna";
    expect(localTime(Date.parse("2026-09-01T22:00:00Z"), { timeZone })).toBe("2 Sep 2026, 00:00:00");
    expect(localTime(Date.parse("2026-10-25T00:59:59Z"), { timeZone })).toBe("25 Oct 2026, 02:59:59");
    expect(localTime(Date.parse("2026-10-25T01:00:00Z"), { timeZone })).toBe("25 Oct 2026, 02:00:00");
    expect([timeOfDay(at, false, timeZone), timeOfDay(at, true, timeZone)]).toEqual(["18:04", "18:04:31"]);
    expect(localTime(-1, { hasMs: true, timeZone: "UTC" })).toBe("31 Dec 1969, 23:59:59.999");
  });

  test("is read from a text or a number, or is none", () => {
    expect([timeIn("2026-12-02T18:04:31.007+01:00"), timeIn(at)]).toEqual([at, at]);
    expect([timeIn("soon"), timeIn(""), timeIn(Number.NaN), timeIn(1e300)]).toEqual(Array(4).fill(undefined));
  });
});

test.each([
  [0, "less than a minute ago"],
  [-59_999, "less than a minute ago"],
  [-60_000, "1 min ago"],
  [-3_599_999, "59 min ago"],
  [-3_600_000, "1 h ago"],
  [-47 * 3_600_000, "47 h ago"],
  [-48 * 3_600_000, "2 days ago"],
  [5 * 60_000, "in 5 min"],
  [400 * 86_400_000, "in 400 days"],
])("%d ms from now is %s", (distanceMs, text) => {
  expect(relativeTime(at + distanceMs, at)).toBe(text);
});

test("a field for a local time has a zone in the address", () => {
  expect(timeOfField(localFieldOf("2026-11-26T07:00:05.000Z"))).toBe("2026-11-26T07:00:05.000Z");
  expect([localFieldOf(undefined), localFieldOf("x"), timeOfField("")]).toEqual(["", "", ""]);
});
