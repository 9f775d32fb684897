/**
 * The schema of a response as a client needs it: a node of another version may send members and names that this version
 * does not know, and may lack members that were added after 0.1.0.
 */
import { z } from "zod";
import { isNewer } from "../http/endpoint.ts";

const made = new WeakMap<z.ZodType, z.ZodType>();

/** Accepts what `schema` accepts, further members of its objects, other names than those of its enums, and what is newer may be missing. */
export function lenient(schema: z.ZodType): z.ZodType {
  const known = made.get(schema);
  if (known !== undefined) return known;
  // Explanations are recursive.
  made.set(
    schema,
    z.lazy(() => made.get(schema) ?? schema),
  );
  const relaxed = relax(schema);
  made.set(schema, relaxed);
  return relaxed;
}

function relax(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodObject)
    return z.looseObject(
      Object.fromEntries(
        Object.entries<z.ZodType>(schema.shape).map(([name, member]) => [
          name,
          isNewer(member) ? lenient(member).optional() : lenient(member),
        ]),
      ),
    );
  if (schema instanceof z.ZodArray) return z.array(lenient(schema.element as z.ZodType));
  if (schema instanceof z.ZodNullable) return lenient(schema.unwrap() as z.ZodType).nullable();
  if (schema instanceof z.ZodOptional) return lenient(schema.unwrap() as z.ZodType).optional();
  // Literals tell the options apart, so they stay as they are there.
  if (schema instanceof z.ZodUnion) return z.union((schema.options as z.ZodType[]).map(optionOf));
  if (schema instanceof z.ZodRecord) return z.record(z.string(), lenient(schema.valueType as z.ZodType));
  const isText = schema instanceof z.ZodLiteral && typeof schema.value === "string";
  return isText || schema instanceof z.ZodEnum || schema instanceof z.ZodISODateTime ? z.string() : schema;
}

function optionOf(option: z.ZodType): z.ZodType {
  const relaxed = lenient(option);
  if (!(option instanceof z.ZodObject) || !(relaxed instanceof z.ZodObject)) return relaxed;
  const literals = Object.entries<z.ZodType>(option.shape).filter(([, member]) => member instanceof z.ZodLiteral);
  return relaxed.extend(Object.fromEntries(literals));
}
