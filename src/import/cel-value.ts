/** Values of CEL, and how OpenFGA and SpiceDB read them from the context of a condition. */
import { must } from "../util/assert.ts";

export type CelValue =
  | { readonly type: "int" | "uint"; readonly value: bigint }
  | { readonly type: "double"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "bool"; readonly value: boolean }
  /** Nanoseconds, since 1970 or long. */
  | { readonly type: "timestamp" | "duration"; readonly value: bigint }
  /** Of IPv4, as a number of 32 bits. */
  | { readonly type: "ipaddress"; readonly value: bigint }
  | { readonly type: "list"; readonly items: readonly CelValue[] }
  | { readonly type: "map"; readonly entries: ReadonlyMap<string, CelValue> }
  | { readonly type: "null" };

export const boolean = (value: boolean): CelValue => ({ type: "bool", value });
export const text = (value: string): CelValue => ({ type: "string", value });

const ranges = {
  int: [-(2n ** 63n), 2n ** 63n - 1n],
  uint: [0n, 2n ** 64n - 1n],
  duration: [-(2n ** 63n), 2n ** 63n - 1n],
  /** The years 1 to 9999. */
  timestamp: [-62_135_596_800_000_000_000n, 253_402_300_799_999_999_999n],
} as const;

/** Undefined if the value is out of the range of its type. */
export function integer(value: bigint, type: keyof typeof ranges): CelValue | undefined {
  const [least, most] = ranges[type];
  return value < least || value > most ? undefined : { type, value };
}

/** The type of a parameter, such as `int` or `list<string>`. What SpiceDB calls `uint` is `natural`: an int from 0 on. */
export interface ParameterType {
  readonly name: string;
  /** The type of the values of a list or map. */
  readonly of?: ParameterType;
}

/**
 * Returns the value that JSON of a context has as a parameter of the type. Undefined if the other system refuses it, or
 * if it reads another number than what is written (beyond 2^53).
 */
export function valueOf(json: unknown, type: ParameterType): CelValue | undefined {
  switch (type.name) {
    case "bool":
      return typeof json === "boolean" ? boolean(json) : undefined;
    case "string":
      return typeof json === "string" ? text(json) : undefined;
    case "int":
    case "uint":
      return integerOf(json, type.name);
    case "natural": {
      const found = integerOf(json, "uint");
      return found?.type === "uint" ? { ...found, type: "int" } : found;
    }
    case "double":
      return doubleOf(json);
    case "timestamp":
      return typeof json === "string" ? timestampOf(json) : undefined;
    case "duration":
      return typeof json === "string" ? durationOf(json) : undefined;
    case "ipaddress":
      return typeof json === "string" ? addressOf(json) : undefined;
    case "list": {
      const items = Array.isArray(json) ? json.map((item) => valueOf(item, type.of ?? any)) : [undefined];
      return items.includes(undefined)
        ? undefined
        : { type: "list", items: items.filter((item) => item !== undefined) };
    }
    case "map": {
      if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
      const entries = Object.entries(json).map(([key, item]) => [key, valueOf(item, type.of ?? any)] as const);
      const known = entries.flatMap(([key, item]) => (item === undefined ? [] : [[key, item] as const]));
      return known.length < entries.length ? undefined : { type: "map", entries: new Map(known) };
    }
    case "any":
      return anyOf(json);
    default:
      return undefined;
  }
}

const any: ParameterType = { name: "any" };

function anyOf(json: unknown): CelValue | undefined {
  if (json === null) return { type: "null" };
  if (typeof json === "object") return valueOf(json, { name: Array.isArray(json) ? "list" : "map" });
  const names: Readonly<Record<string, string>> = { string: "string", boolean: "bool", number: "double" };
  return valueOf(json, { name: names[typeof json] ?? "" });
}

function integerOf(json: unknown, type: "int" | "uint"): CelValue | undefined {
  if (typeof json === "number") return Number.isSafeInteger(json) ? integer(BigInt(json), type) : undefined;
  if (typeof json !== "string" || !/^[+-]?\d{1,20}$/.test(json)) return undefined;
  const value = BigInt(json.replace("+", ""));
  // Both systems read an unsigned integer as a signed one first.
  return integer(value, "int") && integer(value, type);
}

function doubleOf(json: unknown): CelValue | undefined {
  if (typeof json === "number") return Number.isFinite(json) ? { type: "double", value: json } : undefined;
  if (typeof json !== "string" || !/^[+-]?\d{1,15}(\.\d{1,15})?$/.test(json)) return undefined;
  return { type: "double", value: Number(json) };
}

/** RFC 3339 as Go reads it: no second 60, no hour 24, at most nine digits of a second that count. */
export function timestampOf(written: string): CelValue | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/.exec(written);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", sign, offsetHour = "0", offsetMinute = "0"] = match;
  const [mm, dd, h, m, s] = [month, day, hour, minute, second].map(Number) as [number, number, number, number, number];
  if (h > 23 || m > 59 || s > 59 || Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), mm - 1, dd);
  if (date.getUTCMonth() !== mm - 1 || date.getUTCDate() !== dd || mm === 0) return undefined;
  const offset = (Number(offsetHour) * 60 + Number(offsetMinute)) * (sign === "-" ? -1 : 1);
  const seconds = date.getTime() / 1000 + (h * 60 + m - offset) * 60 + s;
  return integer(BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0")), "timestamp");
}

const units: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  "\u00b5s": 1000n,
  "\u03bcs": 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** A duration of Go, such as `1h30m` or `-1.5s`. */
export function durationOf(written: string): CelValue | undefined {
  const [, sign, rest = ""] = /^([+-]?)(.*)$/s.exec(written) ?? [];
  if (rest === "0") return integer(0n, "duration");
  if (!/^(?:(?:\d{1,20}\.?\d{0,9}|\.\d{1,9})(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/.test(rest)) return undefined;
  let total = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of rest.matchAll(/(\d*)\.?(\d*)([a-z\u00b5\u03bc]+)/g)) {
    const scale = must(units[unit]);
    total += BigInt(whole === "" ? "0" : whole) * scale;
    total += (BigInt(fraction.padEnd(9, "0")) * scale) / 1_000_000_000n;
  }
  return integer(sign === "-" ? -total : total, "duration");
}

const octet = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const address = new RegExp(`^${octet}\\.${octet}\\.${octet}\\.${octet}$`);

/** Undefined for an address of IPv6, too. */
export function addressOf(written: string): CelValue | undefined {
  const match = address.exec(written);
  if (match === null) return undefined;
  return { type: "ipaddress", value: match.slice(1).reduce((all, each) => all * 256n + BigInt(each), 0n) };
}

/** The first and the last address of a network of IPv4, such as `10.0.0.0/8`. */
export function networkOf(written: string): { readonly first: bigint; readonly last: bigint } | undefined {
  const [, text = "", bits = ""] = /^([^/]*)\/(\d|[12]\d|3[0-2])$/.exec(written) ?? [];
  const found = addressOf(text);
  if (found?.type !== "ipaddress") return undefined;
  const size = 2n ** (32n - BigInt(bits));
  const first = found.value - (found.value % size);
  return { first, last: first + size - 1n };
}
