/** Values of CEL as values of Polar: integers, strings and booleans. Times are microseconds, decimals are millionths. */
import type { Value } from "../store/facts/fact.ts";
import type { CelValue } from "./cel-value.ts";

/** Values of types in one family can be compared with each other. */
const families: Readonly<Record<string, string>> = {
  int: "Integer",
  uint: "Integer",
  natural: "Integer",
  double: "Integer in millionths",
  timestamp: "Integer in microseconds since 1970",
  duration: "Integer in microseconds",
  ipaddress: "Integer of IPv4",
  string: "String",
  bool: "Boolean",
};

/** Undefined for types that Polar cannot hold. */
export function familyOf(type: string): string | undefined {
  return Object.hasOwn(families, type) ? families[type] : undefined;
}

export function polarType(type: string): string {
  return (familyOf(type) ?? "").split(" ")[0] ?? "";
}

/** Undefined if Polar cannot hold the value exactly. An integer is a double where one is needed. */
export function polarScalar(value: CelValue, type: string): Value | undefined {
  switch (value.type) {
    case "string":
      // A fact has no empty values.
      return type === "string" && value.value !== "" ? { type: "String", id: value.value } : undefined;
    case "bool":
      return type === "bool" ? { type: "Boolean", id: String(value.value) } : undefined;
    case "int":
    case "uint":
      if (type === "double") return millionths(String(value.value));
      return familyOf(type) === "Integer" ? integerOf(value.value) : undefined;
    case "double":
      return type === "double" ? millionths(plain(value.value)) : undefined;
    case "timestamp":
    case "duration":
      return type === value.type && value.value % 1000n === 0n ? integerOf(value.value / 1000n) : undefined;
    case "ipaddress":
      return type === value.type ? integerOf(value.value) : undefined;
    default:
      return undefined;
  }
}

function integerOf(value: bigint): Value | undefined {
  return BigInt.asIntN(64, value) === value ? { type: "Integer", id: String(value) } : undefined;
}

/** Up to 15 digits, which doubles tell apart and order as decimals do. */
function millionths(decimal: string): Value | undefined {
  const [, sign = "", whole = "", fraction = ""] = /^(-?)(\d{1,9})(?:\.(\d{1,6}))?$/.exec(decimal) ?? [];
  if (whole === "") return undefined;
  const value = BigInt(whole + fraction.padEnd(6, "0"));
  return integerOf(sign === "-" ? -value : value);
}

/** The shortest decimal that is this double, without an exponent where it has at most six decimals. */
function plain(value: number): string {
  const text = String(value);
  return /e/.test(text) && Number(value.toFixed(6)) === value ? value.toFixed(6) : text;
}
