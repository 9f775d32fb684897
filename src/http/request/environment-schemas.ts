/** The schemas of the requests that create and rename environments. */
import { z } from "zod";
import { environmentId, environmentIdText } from "../../config/environment-id.ts";
import { validator } from "./schema-error.ts";

export function environmentParsers() {
  const name = z
    .string()
    .min(1)
    .max(100)
    .regex(/^\P{Cc}*$/u, { error: "must have no control characters" });
  return {
    environment: validator(
      "body",
      z
        .strictObject({
          id: z.string().regex(environmentId, { error: `must be ${environmentIdText}` }),
          name: name.optional(),
          // The id of the default environment can have other characters.
          copy_of: z.string().min(1).max(64).optional(),
          again: z.boolean().optional(),
        })
        .transform(({ id, name: given = id, copy_of: copyOf, again = false }) => ({ id, name: given, copyOf, again })),
    ),
    renameEnvironment: validator("body", z.strictObject({ name })),
  };
}
