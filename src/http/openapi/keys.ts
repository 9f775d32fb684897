/** The operations of `routes/keys.ts`. */
import { z } from "zod";
import { apiKeyRole } from "../../engine/state/event.ts";
import type { RequestParsers } from "../request/request-schemas.ts";
import { json, messageSchema, type Operation } from "./operation.ts";

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

const identity = { id: z.string(), name: z.string(), role: apiKeyRole };
const keySchema = z.strictObject({ ...identity, created: z.iso.datetime() }).meta({ id: "ApiKey" });
const newKeySchema = z.strictObject({ ...identity, token: z.string(), message: z.string() }).meta({ id: "NewApiKey" });
