/** The operations of `routes/people.ts`. */
import { z } from "zod";
import { apiKeyRole } from "../../engine/state/event.ts";
import { json, type Operation } from "./operation.ts";

export function peopleOperations(): Operation[] {
  return [
    {
      method: "get",
      path: "/api/whoami",
      id: "whoami",
      tag: "keys",
      summary: "Whom does the API key or the token belong to, and what may it do?",
      kind: "other",
      role: "read",
      responses: { 200: json("The sender of the request", whoamiSchema) },
    },
    {
      method: "get",
      path: "/api/login",
      id: "getLogin",
      tag: "keys",
      summary: "Where can a person get a token for this node?",
      kind: "other",
      role: undefined,
      errors: ["not_found"],
      responses: { 200: json("The OIDC issuer", loginSchema) },
    },
  ];
}

const whoamiSchema = z
  .strictObject({
    kind: z.enum(["key", "person"]),
    id: z.string(),
    name: z.string().nullable(),
    role: apiKeyRole,
    environment: z.string(),
    expires: z.iso.datetime().optional().meta({ description: "A token of a person always expires" }),
  })
  .meta({ id: "Principal" });

const loginSchema = z
  .strictObject({
    issuer: z.string(),
    client_id: z.string().nullable().meta({ description: "The public client of `ostiary login`" }),
    scopes: z.string().meta({ description: "The scopes to ask for, separated by spaces" }),
    audience: z.array(z.string()).meta({ description: "The token needs one of these values in `aud`" }),
  })
  .meta({ id: "Login" });
