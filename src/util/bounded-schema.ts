/**
 * Zod schemas for untrusted values. They check counts before elements and stop at the first problem, so that rejecting
 * a value is not more expensive than parsing it. Zod's own lists and records check all elements, and collect all
 * issues, before they check the count.
 */
import { z } from "zod";
import { clip, fitsInBytes } from "./text-length.ts";

/** A list. `error` is the message for a wrong count; by default it says which bound is exceeded. */
export function listOf<Element extends z.ZodType>(
  element: Element,
  { min = 0, max = Infinity, error }: { readonly min?: number; readonly max?: number; readonly error?: string },
) {
  const list = z.unknown().transform((value, context): z.output<Element>[] => {
    const refuse = refuserOf(value, context);
    if (!Array.isArray(value)) return refuse({ code: "invalid_type", expected: "array" });
    const { length } = value;
    if (error !== undefined && (length < min || length > max)) return refuse({ code: "custom", message: error });
    if (length > max) return refuse({ code: "too_big", origin: "array", maximum: max });
    if (length < min) return refuse({ code: "too_small", origin: "array", minimum: min });
    const parsedList: z.output<Element>[] = [];
    for (let index = 0; index < length; index++) {
      const parsed = element.safeParse(value[index]);
      if (!parsed.success) return refuse(firstIssue(parsed.error, index));
      parsedList.push(parsed.data);
    }
    return parsedList;
  });
  const likeness = z.array(element).min(min);
  return documentedAs(list, max === Infinity ? likeness : likeness.max(max));
}

/** A record with names of limited length. The result has no prototype, so no name is inherited. */
export function recordOf<Value extends z.ZodType>(
  value: Value,
  { max, keyBytesMax }: { readonly max: number; readonly keyBytesMax: number },
) {
  const record = z.unknown().transform((given, context): Readonly<Record<string, z.output<Value>>> => {
    const refuse = refuserOf(given, context);
    if (typeof given !== "object" || given === null || Array.isArray(given))
      return refuse({ code: "invalid_type", expected: "record" });
    const names = Object.keys(given);
    if (names.length > max) return refuse({ code: "custom", message: `must have at most ${max} entries` });
    const parsedRecord = Object.create(null) as Record<string, z.output<Value>>;
    for (const name of names) {
      if (!fitsInBytes(name, keyBytesMax))
        return refuse({ code: "custom", path: [name], message: `must have a name of at most ${keyBytesMax} bytes` });
      const parsed = value.safeParse((given as Record<string, unknown>)[name]);
      if (!parsed.success) return refuse(firstIssue(parsed.error, name));
      parsedRecord[name] = parsed.data;
    }
    return parsedRecord;
  });
  return documentedAs(record, z.record(z.string().max(keyBytesMax), value), { maxProperties: max });
}

const likenesses = new WeakMap<z.core.$ZodType, z.core.$ZodType>();

/** A schema of Zod alone that accepts what a list or a record of this file accepts. Undefined for other schemas. */
export function likenessOf(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  return likenesses.get(schema);
}

/**
 * `schema` with the JSON Schema of `likeness` and `more`: a transform alone has none. A member with this schema is
 * required; zod takes transforms for optional, because they could accept a missing member.
 */
function documentedAs<Schema extends z.ZodType>(schema: Schema, likeness: z.ZodType, more: object = {}): Schema {
  likenesses.set(schema, likeness);
  const { _zod: internals } = schema;
  const { _zod: documented } = likeness;
  internals.processJSONSchema = (context, json, params) => {
    documented.processJSONSchema?.(context, json, params);
    Object.assign(json, more);
  };
  internals.optin = undefined;
  return schema;
}

/**
 * Returns a function that adds an issue with `input`. Zod passes a value on to transformations if nothing is wrong with
 * it but unknown members; there is no value here, so a second issue stops that. Only the first one is shown.
 */
function refuserOf(input: unknown, { issues }: { readonly issues: z.core.$ZodRawIssue[] }) {
  return (issue: object): never => {
    issues.push({ input, ...issue } as z.core.$ZodRawIssue);
    if ("code" in issue && issue.code === "unrecognized_keys") issues.push({ code: "custom", input });
    return z.NEVER;
  };
}

/** The first problem as one line for a log. Untrusted text in it is clipped. */
export function describeProblem(error: z.ZodError): string {
  const [issue] = error.issues;
  const path = issue?.path.map((key) => clip(String(key), 64)).join(".") ?? "";
  const problem = clip(String(issue?.message), 200).replaceAll("\n", " ");
  return path === "" ? problem : `${problem} at ${clip(path, 200)}`;
}

function firstIssue(error: z.ZodError, key: PropertyKey): object {
  const [issue] = error.issues;
  return { ...issue, path: [key, ...(issue?.path ?? [])] };
}
