/** Who am I, and how can a person log in? */
import { z } from "zod";
import { apiKeyRoles } from "../../log/event/event.ts";
import { json, endpoints } from "../../http/endpoint.ts";

const bodyErrors = ["too_large", "too_many_requests", "request_timeout", "request_aborted"] as const;

export const peopleEndpoints = endpoints({
  whoami: {
    method: "GET",
    path: "/api/whoami",
    tag: "keys",
    summary: "Whom does the API key or the token belong to, and what may it do?",
    kind: "node",
    role: "read",
    responses: () => ({ 200: json("The sender of the request", whoamiSchema) }),
  },
  getLogin: {
    method: "GET",
    path: "/api/login",
    tag: "keys",
    summary: "Where can a person get a token for this node?",
    kind: "node",
    role: undefined,
    errors: ["not_found"],
    responses: () => ({ 200: json("The OIDC issuer", loginSchema) }),
  },
  postLoginToken: {
    method: "POST",
    path: "/api/login/token",
    tag: "keys",
    summary: "Exchange the authorization code of the OIDC issuer for a token that this node accepts",
    kind: "node",
    role: undefined,
    body: "loginToken",
    errors: ["not_found", ...bodyErrors],
    responses: () => ({ 200: json("The token", tokenSchema) }),
  },
  postLoginCode: {
    method: "POST",
    path: "/api/login/code",
    tag: "keys",
    summary:
      "Exchange the one-time code that `ostiary dev` prints for its API key; only `ostiary dev` has this operation",
    kind: "node",
    role: undefined,
    isDevelopment: true,
    body: "loginCode",
    errors: ["unauthorized", "not_found", ...bodyErrors],
    responses: () => ({ 200: json("The API key", tokenSchema) }),
  },
});

const tokenSchema = z.strictObject({ token: z.string() }).meta({ id: "Token" });

const whoamiSchema = z
  .strictObject({
    kind: z.enum(["key", "person"]),
    id: z.string(),
    name: z.string().nullable(),
    role: z.enum(apiKeyRoles),
    environment: z.string(),
    expires: z.iso.datetime().optional().meta({ description: "A token of a person always expires" }),
    only_predicates: z.array(z.string()).optional().meta({ description: "The key changes only facts of these" }),
    only_types: z.array(z.string()).optional().meta({ description: "The key changes only facts about these" }),
  })
  .meta({ id: "Principal" });

const loginSchema = z
  .strictObject({
    issuer: z.string(),
    client_id: z.string().nullable().meta({ description: "The public client of `ostiary login`" }),
    scopes: z.string().meta({ description: "The scopes to ask for, separated by spaces" }),
    audience: z.array(z.string()).meta({ description: "The token needs one of these values in `aud`" }),
    authorization_endpoint: z
      .string()
      .nullable()
      .meta({ description: "The page of the issuer where people log in; null while the issuer does not answer" }),
  })
  .meta({ id: "Login" });
