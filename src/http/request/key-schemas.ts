/** The schemas of the requests that create and rotate API keys. */
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import { duration } from "../../config/setting-types.ts";
import { type ApiKeyRole, apiKeyRoles } from "../../log/event/event.ts";
import { listOf } from "../../util/bounded-schema.ts";
import { fitsInBytes } from "../../util/text-length.ts";
import type { WriteRestriction } from "../../store/keys/key-grant.ts";
import { validator } from "./schema-error.ts";

/** A point in time: after a duration, or as ms since 1970. */
export type Expiry = { readonly afterMs: number } | { readonly atMs: number };

export interface KeyRequest {
  readonly name: string;
  readonly role: ApiKeyRole;
  readonly expires: Expiry | undefined;
  readonly restriction: WriteRestriction | undefined;
}

const day = 86_400_000;
const expiryMsMax = 36_500 * day;
/** Two secrets are for the time in which an application gets the new one. */
const graceMsMax = 90 * day;
const namesMax = 64;
/** Of the names as JSON. Each node reads them for each check of the key that is not cached. */
const restrictionCharactersMax = 8192;

export function keyParsers({ identifierBytesMax }: Limits) {
  const expires = expiry();
  const name = z
    .string()
    .min(1)
    .refine((given) => fitsInBytes(given, identifierBytesMax), {
      error: `must not be longer than ${identifierBytesMax} bytes`,
    });
  const names = listOf(name, { min: 1, max: namesMax }).optional();
  const grant = z.strictObject({ role: z.enum(apiKeyRoles), expires, only_predicates: names, only_types: names });
  return {
    key: validator(
      "body",
      z
        .strictObject({
          name: z.string().min(1).max(100),
          role: z.enum(apiKeyRoles).optional(),
          // Not beside `role`: a primary of 0.1.0 ignores members that it does not know, and would make the key
          // without its limits. It refuses a body without `role`.
          grant: grant.optional(),
        })
        .meta({ oneOf: [{ required: ["role"] }, { required: ["grant"] }] })
        .transform((body, context): KeyRequest => {
          if ((body.role === undefined) === (body.grant === undefined)) {
            context.addIssue({ code: "custom", message: "must have either `role` or `grant`, which has the role" });
            return z.NEVER;
          }
          const { role, expires: end, only_predicates: predicates, only_types: types } = body.grant ?? {};
          const restriction = (predicates ?? types) === undefined ? undefined : { predicates, types };
          if (restriction !== undefined && role !== "write") {
            const message = "must be `write` for a key with `only_predicates` or `only_types`: they restrict writes";
            context.addIssue({ code: "custom", path: ["grant", "role"], message });
          }
          if (restriction !== undefined && JSON.stringify(restriction).length > restrictionCharactersMax) {
            const message = `must have names of at most ${restrictionCharactersMax} characters together`;
            context.addIssue({ code: "custom", path: ["grant"], message });
          }
          return { name: body.name, role: body.role ?? role ?? "read", expires: end, restriction };
        }),
    ),
    rotateKey: validator("body", z.strictObject({ grace: grace(), expires })),
  };
}

const durationOf = (text: string, maxMs: number): number | undefined => duration(0, maxMs).safeParse(text).data;

/** `90d` from now on, or a time such as `2027-01-31T00:00:00Z`. */
function expiry() {
  return z
    .string()
    .transform((text, context): Expiry => {
      const afterMs = durationOf(text, expiryMsMax);
      if (afterMs !== undefined && afterMs > 0) return { afterMs };
      if (timestamp.safeParse(text).success) return { atMs: Date.parse(text) };
      const message =
        "must be a duration of at most 36500 days, such as `90d`, or a time, such as `2027-01-31T00:00:00Z`";
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    })
    .optional();
}

const timestamp = z.iso.datetime({ offset: true });

function grace() {
  return z
    .string()
    .default("24h")
    .transform((text, context): number => {
      const ms = durationOf(text, graceMsMax);
      if (ms !== undefined) return ms;
      context.addIssue({ code: "custom", message: "must be a duration from `0` to `90d`, such as `24h`" });
      return z.NEVER;
    });
}
