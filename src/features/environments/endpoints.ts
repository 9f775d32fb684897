/** The operations of `routes/environments.ts`. */
import { z } from "zod";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { json, type Operation } from "../../http/endpoint.ts";

export function environmentOperations(bodies: RequestParsers): Operation[] {
  const environment = { tag: "environments", role: "admin" } as const;
  return [
    {
      ...environment,
      method: "get",
      path: "/api/environments",
      id: "getEnvironments",
      summary: "The environments, the default one first",
      description:
        "`role`, `offset` and `ready` are those of the node that answers, if it follows the environment. After `ostiary restore` the node may lack environments; `complete` is false until `incomplete_until`, and keys of unknown environments get 503.",
      kind: "other",
      responses: {
        200: json(
          "The environments",
          z
            .strictObject({
              environments: z.array(environmentSchema),
              complete: z.boolean(),
              incomplete_until: z.iso.datetime().optional(),
            })
            .meta({ id: "Environments" }),
        ),
      },
      errors: ["not_found"],
    },
    {
      ...environment,
      method: "post",
      path: "/api/environments",
      id: "postEnvironment",
      summary: "Create an environment: an empty one, or a copy of the policy and the facts of another one",
      description:
        "An environment begins with one API key, which is not a copy. `again` replaces an environment whose data never arrived at this node.",
      kind: "write",
      body: bodies.environment.schema,
      responses: { 200: json("The environment and its first admin key, which is not shown again", newSchema) },
      errors: ["not_found", "conflict"],
    },
    {
      ...environment,
      method: "post",
      path: "/api/environments/complete",
      id: "postEnvironmentsComplete",
      summary: "Say that there are no other environments",
      description:
        "After `ostiary restore`, keys of unknown environments then get 401 at once, and not 503 for some time.",
      kind: "write",
      responses: {
        200: json(
          "The list of environments is complete",
          z.strictObject({ complete: z.literal(true), message: z.string() }).meta({ id: "EnvironmentsComplete" }),
        ),
      },
      errors: ["not_found"],
    },
    {
      ...environment,
      method: "patch",
      path: "/api/environments/:id",
      id: "patchEnvironment",
      summary: "Give an environment another name",
      kind: "write",
      body: bodies.renameEnvironment.schema,
      responses: {
        200: json(
          "The environment has this name",
          z.strictObject({ id: z.string(), name: z.string(), message: z.string() }).meta({ id: "RenamedEnvironment" }),
        ),
      },
      errors: ["not_found", "conflict"],
    },
    {
      ...environment,
      method: "delete",
      path: "/api/environments/:id",
      id: "deleteEnvironment",
      summary: "Delete an environment; until `final` it can be restored",
      kind: "write",
      responses: {
        200: json(
          "Its API keys are not valid any more",
          z
            .strictObject({ id: z.string(), final: z.iso.datetime(), message: z.string() })
            .meta({ id: "DeletedEnvironment" }),
        ),
      },
      errors: ["not_found", "conflict"],
    },
    {
      ...environment,
      method: "post",
      path: "/api/environments/:id/restore",
      id: "restoreEnvironment",
      summary: "Restore a deleted environment",
      kind: "write",
      responses: {
        200: json(
          "The environment is active again",
          z.strictObject({ id: z.string(), message: z.string() }).meta({ id: "RestoredEnvironment" }),
        ),
      },
      errors: ["not_found", "conflict"],
    },
    {
      ...environment,
      method: "post",
      path: "/api/environments/:id/abandon",
      id: "abandonEnvironment",
      summary: "Forget an environment whose data never arrived at this node, so that its id is free",
      description: "A node that has data of it keeps them in its data directory.",
      kind: "write",
      responses: {
        200: json(
          "There is no such environment any more",
          z.strictObject({ id: z.string(), message: z.string() }).meta({ id: "AbandonedEnvironment" }),
        ),
      },
      errors: ["not_found", "conflict"],
    },
    {
      ...environment,
      method: "post",
      path: "/api/environments/:id/keys",
      id: "postEnvironmentKey",
      summary: "Create another admin key of an environment, for one whose keys are lost",
      kind: "write",
      responses: {
        200: json(
          "The key, which is not shown again",
          z.strictObject({ id: z.string(), token: z.string(), message: z.string() }).meta({ id: "EnvironmentKey" }),
        ),
      },
      errors: ["not_found", "conflict"],
    },
  ];
}

const environmentSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    created: z.iso.datetime().nullable().meta({ description: "Null for the default environment" }),
    state: z.enum(["active", "deleted"]),
    is_default: z.literal(true).optional(),
    deleted: z.iso.datetime().optional(),
    final: z.iso
      .datetime()
      .optional()
      .meta({ description: "When the deletion becomes final, if the primary runs all the time until then" }),
    role: z.enum(["primary", "edge", "fallback"]).optional(),
    offset: z.int().nullable().optional(),
    ready: z.boolean().optional(),
    failure: z
      .string()
      .optional()
      .meta({ description: "Why this node cannot start the environment, or that its data never arrived" }),
  })
  .meta({ id: "Environment" });

const newSchema = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    token: z.string(),
    message: z.string(),
    created: z.iso.datetime().nullable(),
  })
  .meta({ id: "NewEnvironment" });
