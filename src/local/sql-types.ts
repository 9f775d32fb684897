/**
 * The types that `sql_types` can name. A type is accepted only if its values have exactly one text form, so that equal
 * values have equal ids, and the other way round.
 */
import type { DialectName } from "./dialect-names.ts";

/** How ids of the type are written: `text` is any string. */
export type IdForm = "text" | "uuid" | "integer";

export interface SqlType {
  /** As casts and errors name it: one of the names below, and never other text of the bindings. */
  readonly name: string;
  readonly form: IdForm;
  /** Only for integers: the range of the type. */
  readonly min?: bigint;
  readonly max?: bigint;
}

/** The type with this name, in any case and with or without a length; undefined if the dialect does not have it. */
export function sqlType(dialect: DialectName, written: string): SqlType | undefined {
  return types[dialect][nameOf(written)];
}

/** Whether `sql_types` may name the type although its ids are compared as texts: clients send the types of all columns. */
export function isComparedAsText(written: string): boolean {
  return comparedAsText.has(nameOf(written));
}

function nameOf(written: string): string {
  return written
    .trim()
    .toLowerCase()
    .replace(/\s+/g, " ")
    .replace(/ ?\(\d{1,5}(?:, ?\d{1,5})?\)$/, "");
}

/** The accepted names, for errors. */
export function sqlTypeNames(dialect: DialectName): string[] {
  return Object.keys(types[dialect]);
}

function integer(name: string, bits: bigint): SqlType {
  return { name, form: "integer", min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n };
}

const text: SqlType = { name: "text", form: "text" };
const uuid: SqlType = { name: "uuid", form: "uuid" };

function named(entries: readonly (readonly [name: string, type: SqlType])[]): Readonly<Record<string, SqlType>> {
  return Object.assign(Object.create(null), Object.fromEntries(entries)) as Record<string, SqlType>;
}

/** Types with several text forms of equal values (`numeric`: 1 and 1.0), and those that pad or fold. */
const comparedAsText: ReadonlySet<string> = new Set([
  ...["numeric", "decimal"],
  ...["char", "character", "nchar", "bpchar", "citext"],
]);

const types: Readonly<Record<DialectName, Readonly<Record<string, SqlType>>>> = {
  postgres: named([
    ["text", text],
    ["varchar", text],
    ["character varying", text],
    ["uuid", uuid],
    ["smallint", integer("smallint", 16n)],
    ["int2", integer("smallint", 16n)],
    ["integer", integer("integer", 32n)],
    ["int", integer("integer", 32n)],
    ["int4", integer("integer", 32n)],
    ["bigint", integer("bigint", 64n)],
    ["int8", integer("bigint", 64n)],
  ]),
  mysql: named([
    ["char", text],
    ["varchar", text],
    ["text", text],
    ["smallint", integer("signed", 16n)],
    ["int", integer("signed", 32n)],
    ["integer", integer("signed", 32n)],
    ["bigint", integer("signed", 64n)],
  ]),
  sqlite: named([
    ["text", text],
    ["varchar", text],
    ["integer", integer("integer", 64n)],
    ["int", integer("integer", 64n)],
    ["bigint", integer("integer", 64n)],
  ]),
};

/** Whether the type has a value with exactly this text form. */
export function isValueOf({ form, min, max }: SqlType, id: string): boolean {
  switch (form) {
    case "text":
      return true;
    case "uuid":
      return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
    case "integer": {
      if (!/^(?:0|-?[1-9]\d{0,18})$/.test(id)) return false;
      const value = BigInt(id);
      return (min === undefined || value >= min) && (max === undefined || value <= max);
    }
  }
}
