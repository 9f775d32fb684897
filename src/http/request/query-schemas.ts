/** The parts that the query strings of several endpoints have in common. */
import { z } from "zod";

/** `true`, or by default `false`. */
export const flag = z
  .enum(["true", "false"])
  .default("false")
  .transform((text) => text === "true");

/** How many entries a page has at most; a text. */
export const countText = z.string().regex(/^[1-9]\d{0,8}$/, { error: "must be a whole number from 1 on" });

/** The size of a page; a number. */
export const pageSize = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, { error: "must be a whole number of at least 1" })
  .transform(Number)
  .optional();

/** A point in time, as ms since 1970. */
export const zonedTime = z.iso
  .datetime({ offset: true, error: "must be a time with a zone, such as 2026-11-26T07:00:00Z" })
  .transform((text) => Date.parse(text))
  .optional();
