/** The pieces that the bodies of several routes are made of. The limits are part of the schemas. */
import { z } from "zod";
import type { Limits } from "../config/limits.ts";
import { factArgumentsMax } from "../polar/policy.ts";
import { isWithin } from "../util/text-length.ts";

export function wire(limits: Limits) {
  /** A type, an id, a name of a predicate, role or action. */
  const name = z
    .string()
    .min(1)
    .refine((text) => isWithin(text, limits.identifierBytesMax), {
      error: `must not be longer than ${limits.identifierBytesMax} bytes`,
    });
  const value = z.object({ type: name, id: name });
  const any = z
    .object({ type: name.nullable(), id: name.nullable() })
    .refine(({ type, id }) => type !== null || id === null, {
      path: ["type"],
      error: "must say of which type this id is",
    });
  /** A concrete fact, to be stored or of one request. What it must be beyond this shape is for the engine to say. */
  const fact = z.object({ predicate: name, args: argumentsOf(value) });
  return {
    name,
    value,
    fact,
    /** What a delete names: `null` stands for anything. */
    pattern: z.object({ predicate: name, args: argumentsOf(any) }),
    contextFacts: z
      .array(fact)
      .max(limits.contextFactsMax)
      .nullish()
      .transform((facts) => facts ?? []),
  };
}

function argumentsOf<Schema extends z.ZodType>(schema: Schema) {
  return z.array(schema).refine((args) => args.length >= 1 && args.length <= factArgumentsMax, {
    error: `must have 1 to ${factArgumentsMax} entries`,
  });
}
