/**
 * The types of settings. A file has numbers and texts, the environment and flags have only texts, so each type reads
 * both; `z.encode` gives the form that people write. `allowed` is the sentence shown with a refused value.
 */
import { z } from "zod";
import { bytesPattern, durationPattern, formatBytes, formatDuration, parseBytes, parseDuration } from "./units.ts";

export interface SettingInfo {
  /** The allowed values, in words. */
  readonly allowed: string;
  /** The name of the value in `--help`: `--port <number>`. */
  readonly placeholder: string;
  /** Never printed, neither in errors nor by `ostiary config`. */
  readonly secret: boolean;
}

/** What the program knows about a setting besides its schema. */
export const settingInfo = z.registry<SettingInfo>();

/** Registers the schema of a setting. Its `description` is for `--help` and says why one would change the setting. */
export function setting<Schema extends z.ZodType>(
  schema: Schema,
  placeholder: string,
  allowed: string,
  secret = false,
) {
  settingInfo.add(schema, { allowed, placeholder, secret });
  return schema;
}

// Most settings share these schemas: to make one takes about 10 µs, and there are more than two hundred settings.
const wholeNumber = z.number().int();
const integerInput = z.union([z.number(), z.string().regex(/^-?\d+$/)]);

export const integer = (min: number, max: number) =>
  z.codec(integerInput, wholeNumber.min(min).max(max), {
    decode: Number,
    encode: (value) => value,
  });

export const ratio = () =>
  z.codec(z.union([z.number(), z.string().regex(/^\d*\.?\d+$/)]), z.number().min(0).max(1), {
    decode: Number,
    encode: (value) => value,
  });

/** Texts separated by commas, at least `min` of them. */
export const list = (isItem: (text: string) => boolean, min = 1) =>
  z.codec(
    z.string().refine((text) => itemsOf(text).every(isItem) && itemsOf(text).length >= min),
    z.array(z.string()).readonly(),
    { decode: itemsOf, encode: (items) => items.join(",") },
  );

/** Texts separated by commas, or a list of texts, which can have commas. */
export const names = (isItem: (text: string) => boolean = (text) => text !== "") =>
  z.codec(
    z.union([z.string(), z.array(z.string())]).refine((given) => textsOf(given).every(isItem)),
    z.array(z.string()).readonly(),
    { decode: textsOf, encode: (items) => (items.some((item) => item.includes(",")) ? [...items] : items.join(",")) },
  );

export const boolean = () =>
  z.codec(z.union([z.boolean(), z.enum(["true", "false"])]), z.boolean(), {
    decode: (given) => given === true || given === "true",
    encode: (value) => value,
  });

/** A number of threads; `auto` is 0. */
export const threadCount = (max: number) =>
  z.codec(
    z.union([z.literal("auto"), z.number().min(1), z.string().regex(/^[1-9]\d*$/)]),
    wholeNumber.min(0).max(max),
    {
      decode: (given) => (given === "auto" ? 0 : Number(given)),
      encode: (count) => (count === 0 ? "auto" : count),
    },
  );

/** A number of edges, written `edges:2`; `none` is 0. */
export const ackCount = () =>
  z.codec(z.string().regex(/^(?:none|edges:(?:[1-9]\d?|100))$/), z.number().int(), {
    decode: (text) => Number(text.split(":")[1] ?? 0),
    encode: (edges) => (edges === 0 ? "none" : `edges:${edges}`),
  });

const textsOf = (given: string | readonly string[]): string[] =>
  typeof given === "string" ? itemsOf(given) : [...given];

const itemsOf = (text: string): string[] => (text === "" ? [] : text.split(/\s*,\s*/));

const durationInput = z.union([z.string().regex(durationPattern), z.literal(0)]);

/** Milliseconds, written `500ms`, `20s`, `30m`, `12h`, `7d`; `0` needs no unit. */
export const duration = (minMs: number, maxMs: number) =>
  z.codec(durationInput, wholeNumber.min(minMs).max(maxMs), {
    decode: (value) => (value === 0 ? 0 : parseDuration(value)),
    encode: formatDuration,
  });

const bytesInput = z.union([z.number(), z.string().regex(bytesPattern)]);

/** Bytes, written as a number or as `960KiB`, `10MiB`, `1GiB`. */
export const bytes = (min: number, max: number) =>
  z.codec(bytesInput, wholeNumber.min(min).max(max), {
    decode: (value) => (typeof value === "number" ? value : parseBytes(value)),
    encode: formatBytes,
  });
