/** API keys, for administrators. */
import { z } from "zod";
import { apiKeyRoles } from "../../log/event/event.ts";
import { endpoints, json, messageSchema, newer } from "../../http/endpoint.ts";

const key = { tag: "keys", role: "admin" } as const;

export const keyEndpoints = endpoints({
  getKeys: {
    ...key,
    method: "GET",
    path: "/api/keys",
    summary: "The API keys, without their secrets",
    kind: "read",
    responses: () => ({ 200: json("The keys", z.strictObject({ keys: z.array(keySchema) }).meta({ id: "ApiKeys" })) }),
  },
  postKey: {
    ...key,
    method: "POST",
    path: "/api/keys",
    audit: "key.create",
    summary: "Create an API key",
    kind: "write",
    body: "key",
    responses: () => ({
      200: json("The key, which is not shown again", newKeySchema),
    }),
  },
  postKeyRotation: {
    ...key,
    method: "POST",
    path: "/api/keys/:id/rotate",
    audit: "key.rotate",
    summary: "Give an API key a new secret",
    description:
      "The present secret stays valid for the `grace` time, by default 24 hours. A secret that an earlier rotation replaced becomes invalid at once.",
    kind: "write",
    body: "rotateKey",
    responses: () => ({
      200: json(
        "The new secret, which is not shown again",
        newKeySchema.extend({ replaced_expires: z.iso.datetime() }).meta({ id: "RotatedApiKey" }),
      ),
    }),
    errors: ["not_found", "conflict"],
  },
  deleteKey: {
    ...key,
    method: "DELETE",
    path: "/api/keys/:id",
    audit: "key.delete",
    summary: "Remove an API key",
    kind: "write",
    responses: () => ({ 200: json("The key is removed", messageSchema) }),
    errors: ["not_found", "conflict"],
  },
});

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
    last_used: newer(z.iso.datetime().nullable().meta({ description: "To the minute" })),
    expired: z.literal(true).optional(),
    replaced_expires: z.iso
      .datetime()
      .optional()
      .meta({ description: "Until when the secret is valid that a rotation has replaced" }),
  })
  .meta({ id: "ApiKey" });
const newKeySchema = z.strictObject({ ...identity, token: z.string(), message: z.string() }).meta({ id: "NewApiKey" });
