/**
 * The types of settings. A file has numbers and texts, the environment and flags have only texts, so each type reads
 * both; `z.encode` gives the form that people write. `allowed` is the sentence shown with a refused value.
 */
import { z } from "zod";

/**
 * The group of a setting: its heading in `--help` and in the reference configuration. `advanced` is also a section of
 * the file.
 */
export type Group = "node" | "api" | "cluster" | "broker" | "failover" | "fallback" | "retention" | "logs" | "advanced";

export interface SettingInfo {
  readonly group: Group;
  /** Its place in the file (`retention.age`), if that is neither the one in the schema nor in `advanced`. */
  readonly path?: string;
  /** What it does and why one would change it: the text of `--help` and of the reference configuration. */
  readonly description: string;
  /** The allowed values, in words. */
  readonly allowed: string;
  /** The name of the value in `--help`: `--port <number>`. */
  readonly placeholder: string;
  /** Never printed, neither in errors nor by `ostiary config`. */
  readonly secret?: boolean;
}

/** What the program knows about a setting besides its schema. */
export const settingInfo = z.registry<SettingInfo>();

export const integer = (min: number, max: number) =>
  z.codec(z.union([z.number(), z.string().regex(/^-?\d+$/)]), z.number().int().min(min).max(max), {
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

export const flag = () =>
  z.codec(z.union([z.boolean(), z.enum(["true", "false"])]), z.boolean(), {
    decode: (given) => given === true || given === "true",
    encode: (value) => value,
  });

/** A number of edges, written `edges:2`; `none` is 0. */
export const ackCount = () =>
  z.codec(z.string().regex(/^(?:none|edges:(?:[1-9]\d?|100))$/), z.number().int(), {
    decode: (text) => Number(text.split(":")[1] ?? 0),
    encode: (edges) => (edges === 0 ? "none" : `edges:${edges}`),
  });

const itemsOf = (text: string): string[] => (text === "" ? [] : text.split(/\s*,\s*/));

/** Milliseconds, written `500ms`, `20s`, `30m`, `12h`, `7d`; `0` needs no unit. */
export const duration = (minMs: number, maxMs: number) =>
  z.codec(z.union([z.string().regex(durationPattern), z.literal(0)]), z.number().int().min(minMs).max(maxMs), {
    decode: (value) => (value === 0 ? 0 : parseDuration(value)),
    encode: formatDuration,
  });

/** Bytes, written as a number or as `960KiB`, `10MiB`, `1GiB`. */
export const bytes = (min: number, max: number) =>
  z.codec(z.union([z.number(), z.string().regex(bytesPattern)]), z.number().int().min(min).max(max), {
    decode: (value) => (typeof value === "number" ? value : parseBytes(value)),
    encode: formatBytes,
  });

const durationUnits = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
const durationPattern = /^(?:0|(\d+)(ms|s|m|h|d))$/;

function parseDuration(text: string): number {
  const match = durationPattern.exec(text);
  const unit = match?.[2] as keyof typeof durationUnits | undefined;
  return unit === undefined ? 0 : Number(match?.[1]) * durationUnits[unit];
}

/** The shortest form: `1800000` is `30m`. */
export function formatDuration(ms: number): string {
  const entry = Object.entries(durationUnits).find(([, size]) => ms >= size && ms % size === 0);
  return entry === undefined ? "0" : `${ms / entry[1]}${entry[0]}`;
}

const byteUnits = { GiB: 1024 ** 3, MiB: 1024 ** 2, KiB: 1024 } as const;
const bytesPattern = /^(\d+)(KiB|MiB|GiB)?$/;

function parseBytes(text: string): number {
  const match = bytesPattern.exec(text);
  const unit = match?.[2] as keyof typeof byteUnits | undefined;
  return Number(match?.[1]) * (unit === undefined ? 1 : byteUnits[unit]);
}

export function formatBytes(value: number): string | number {
  const entry = Object.entries(byteUnits).find(([, size]) => value >= size && value % size === 0);
  return entry === undefined ? value : `${value / entry[1]}${entry[0]}`;
}
