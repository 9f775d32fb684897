/** Unknown members of objects, each with the member that was probably meant. */
import type { z } from "zod";
import { likenessOf } from "./bounded-schema.ts";
import { suggestion } from "./suggestion.ts";
import { clip } from "./text-length.ts";

/**
 * Names the unknown members of an object, and those that were probably meant: beside them, or in another object of the
 * schema. Otherwise it names all members that the object can have.
 */
export function unknownMembers({ keys, path }: z.core.$ZodIssueUnrecognizedKeys, schema: z.core.$ZodType): string {
  const given = keys.slice(0, unknownMax);
  const known = namesAt(schema, path);
  const members = membersIn(schema, []);
  const meant = given.flatMap((key) => {
    const similar = suggestion(key, known);
    if (similar !== undefined) return [quoted(similar)];
    const other = members.find((names) => names.at(-1) === key);
    if (other === undefined) return [];
    return [other.length === 1 ? `${quoted(key)} outside of ${quoted(path.join("."))}` : quoted(other.join("."))];
  });
  const all = known.length === 0 ? "this request has no members" : `known are ${listed(known.map(quoted), "and")}`;
  return `${listed(given.map(quoted), "or")}: ${meant.length > 0 ? `did you mean ${listed(meant, "and")}?` : all}`;
}

/** Limits for the parts of a request that a message repeats. */
const [nameCharactersMax, unknownMax] = [64, 5] as const;

function quoted(name: string): string {
  return `\`${clip(name, nameCharactersMax)}\``;
}

function listed(texts: readonly string[], word: "and" | "or"): string {
  return [texts.slice(0, -1).join(", "), ...texts.slice(-1)].filter((part) => part !== "").join(` ${word} `);
}

/** The members of the object at the path of a value. */
function namesAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const def = definitionOf(schema);
  const [first, ...rest] = path;
  if (def.type === "array") return namesAt(def.element, rest);
  if (def.type === "record") return namesAt(def.valueType, rest);
  if (def.type !== "object") return [];
  if (first === undefined) return Object.keys(def.shape);
  const member = def.shape[String(first)];
  return member === undefined ? [] : namesAt(member, rest);
}

/** The paths of all members of the objects in a schema, those of lists included. */
function membersIn(schema: z.core.$ZodType, path: readonly string[]): (readonly string[])[] {
  const def = definitionOf(schema);
  if (def.type === "array") return membersIn(def.element, path);
  if (def.type !== "object") return [];
  return Object.entries(def.shape).flatMap(([name, member]) => [
    [...path, name],
    ...membersIn(member, [...path, name]),
  ]);
}

type Definition = z.core.$ZodTypes["_zod"]["def"];

/** Without the parts of a schema that leave the names of members as they are. */
function definitionOf(schema: z.core.$ZodType): Definition {
  const likeness = likenessOf(schema);
  if (likeness !== undefined) return definitionOf(likeness);
  const { def } = schema as unknown as { readonly def: Definition };
  if (def.type === "pipe") return definitionOf(def.in);
  return "innerType" in def ? definitionOf(def.innerType) : def;
}
