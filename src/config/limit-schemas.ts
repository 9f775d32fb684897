/** The schemas of limits, with which a configuration is read. */
import { z } from "zod";
import { fixedLimits } from "./fixed-limits.ts";
import type { LimitDefinition } from "./limit-definition.ts";
import { advancedLimits, type Limits, retentionLimits } from "./limits.ts";
import { bytes, duration, integer, setting } from "./setting-types.ts";
import { formatBytes, formatDuration } from "./units.ts";

export const retentionSchemas = schemasOf(retentionLimits);
export const advancedSchemas = schemasOf(advancedLimits);

export const fixedSchemas = schemasOf(fixedLimits);

export const limitsSchema = z.strictObject({ ...retentionSchemas, ...advancedSchemas, ...fixedSchemas });

type LimitSchema = ReturnType<typeof schemaOf>;

function schemasOf<Name extends keyof Limits>(
  definitions: Readonly<Record<Name, LimitDefinition>>,
): { readonly [Each in Name]: LimitSchema } {
  const entries = Object.entries<LimitDefinition>(definitions);
  return Object.fromEntries(entries.map(([name, definition]) => [name, schemaOf(definition)])) as {
    readonly [Each in Name]: LimitSchema;
  };
}

function schemaOf({ kind, defaultValue, min, max, description }: LimitDefinition) {
  switch (kind) {
    case "count":
      return setting(
        integer(min, max).default(defaultValue),
        "number",
        `a whole number from ${min} to ${max}`,
      ).describe(description);
    case "size":
      return setting(
        bytes(min, max).default(defaultValue),
        "size",
        `a number of bytes, such as \`983040\` or \`960KiB\`, up to \`${formatBytes(max)}\``,
      ).describe(description);
    case "time":
      return setting(
        duration(min, max).default(defaultValue),
        "duration",
        `a duration, such as \`500ms\` or \`20s\`, up to \`${formatDuration(max)}\``,
      ).describe(description);
  }
}
