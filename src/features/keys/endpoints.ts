/** The operations of `routes/keys.ts`. */
import { z } from "zod";
import { apiKeyRoles } from "../../engine/state/event.ts";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { json, messageSchema, type Operation } from "../../http/endpoint.ts";

export function keyOperations(bodies: RequestParsers): Operation[] {
  const key = { tag: "keys", role: "admin" } as const;
  return [
    {
      ...key,
      method: "get",
      path: "/api/keys",
      id: "getKeys",
      summary: "The API keys, without their secrets",
      kind: "read",
      responses: { 200: json("The keys", z.strictObject({ keys: z.array(keySchema) }).meta({ id: "ApiKeys" })) },
    },
    {
      ...key,
      method: "post",
      path: "/api/keys",
      id: "postKey",
      summary: "Create an API key",
      kind: "write",
      body: bodies.key.schema,
      responses: {
        200: json("The key, which is not shown again", newKeySchema),
      },
    },
    {
      ...key,
      method: "post",
      path: "/api/keys/:id/rotate",
      id: "postKeyRotation",
      summary: "Give an API key a new secret",
      description:
        "The present secret stays valid for the `grace` time, by default 24 hours. A secret that an earlier rotation replaced becomes invalid at once.",
      kind: "write",
      body: bodies.rotateKey.schema,
      responses: {
        200: json(
          "The new secret, which is not shown again",
          newKeySchema.extend({ replaced_expires: z.iso.datetime() }).meta({ id: "RotatedApiKey" }),
        ),
      },
      errors: ["not_found", "conflict"],
    },
    {
      ...key,
      method: "delete",
      path: "/api/keys/:id",
      id: "deleteKey",
      summary: "Remove an API key",
      kind: "write",
      responses: { 200: json("The key is removed", messageSchema) },
      errors: ["not_found", "conflict"],
    },
  ];
}

const identity = {
  id: z.string(),
  name: z.string(),
  role: z.enum(apiKeyRoles),
  expires: z.iso.datetime().optional(),
  only_predicates: z.array(z.string()).optional(),
  only_types: z.array(z.string()).optional(),
};
const keySchema = z
  .strictObject({
    ...identity,
    created: z.iso.datetime(),
    last_used: z.iso.datetime().nullable().meta({ description: "To the minute" }),
    expired: z.literal(true).optional(),
    replaced_expires: z.iso
      .datetime()
      .optional()
      .meta({ description: "Until when the secret is valid that a rotation has replaced" }),
  })
  .meta({ id: "ApiKey" });
const newKeySchema = z.strictObject({ ...identity, token: z.string(), message: z.string() }).meta({ id: "NewApiKey" });
