/** The pieces that the bodies of several routes are made of. The limits are part of the schemas. */
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import { factArgumentsMax } from "../../polar/policy.ts";
import { listOf } from "../../util/bounded-schema.ts";
import { fitsInBytes } from "../../util/text-length.ts";

export function commonSchemas(limits: Limits) {
  /** A text that may be empty. */
  const text = z.string().refine((given) => fitsInBytes(given, limits.identifierBytesMax), {
    error: `must not be longer than ${limits.identifierBytesMax} bytes`,
  });
  /** A type, an id, a name of a predicate, role or action. */
  const name = text.min(1);
  const value = z.object({ type: name, id: name });
  const any = z
    .object({ type: name.nullable(), id: name.nullable() })
    .refine(({ type, id }) => type !== null || id === null, {
      path: ["type"],
      error: "must say of which type this id is",
    });
  /** A concrete fact, to be stored or of one request. What it must be beyond this shape is for the engine to say. */
  const fact = z.object({ predicate: name, args: argumentsOf(value) });
  const contextFacts = listOf(fact, { max: limits.contextFactsMax });
  return {
    text,
    name,
    value,
    fact,
    /** What a delete names: `null` stands for anything. */
    pattern: z.object({ predicate: name, args: argumentsOf(any) }),
    contextFacts,
    optionalContextFacts: contextFacts.nullish().transform((facts) => facts ?? []),
  };
}

function argumentsOf<Schema extends z.ZodType>(schema: Schema) {
  return listOf(schema, { min: 1, max: factArgumentsMax, error: `must have 1 to ${factArgumentsMax} entries` });
}
