/** Environments, for administrators of the appliance: holders of an admin key of the default environment. */
import { z } from "zod";
import { json, endpoints } from "../../http/endpoint.ts";

const appliance = "environments are administered with an admin key of the default environment";
const environment = { tag: "environments", role: "admin", appliance } as const;

export const environmentEndpoints = endpoints({
  getEnvironments: {
    ...environment,
    method: "GET",
    path: "/api/environments",
    summary: "The environments, the default one first",
    description:
      "`role`, `offset` and `ready` are those of the node that answers, if it follows the environment. After `ostiary restore` the node may lack environments; `complete` is false until `incomplete_until`, and keys of unknown environments get 503.",
    kind: "node",
    responses: () => ({
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
    }),
    errors: ["not_found"],
  },
  postEnvironment: {
    ...environment,
    method: "POST",
    path: "/api/environments",
    audit: "environment.create",
    summary: "Create an environment: an empty one, or a copy of the policy and the facts of another one",
    description:
      "An environment begins with one API key, which is not a copy. `again` replaces an environment whose data never arrived at this node.",
    kind: "write",
    body: "environment",
    responses: () => ({ 200: json("The environment and its first admin key, which is not shown again", newSchema) }),
    errors: ["not_found", "conflict"],
  },
  postEnvironmentsComplete: {
    ...environment,
    method: "POST",
    path: "/api/environments/complete",
    audit: "environment.complete",
    summary: "Say that there are no other environments",
    description:
      "After `ostiary restore`, keys of unknown environments then get 401 at once, and not 503 for some time.",
    kind: "write",
    responses: () => ({
      200: json(
        "The list of environments is complete",
        z.strictObject({ complete: z.literal(true), message: z.string() }).meta({ id: "EnvironmentsComplete" }),
      ),
    }),
    errors: ["not_found"],
  },
  patchEnvironment: {
    ...environment,
    method: "PATCH",
    path: "/api/environments/:id",
    audit: "environment.rename",
    summary: "Give an environment another name",
    kind: "write",
    body: "renameEnvironment",
    responses: () => ({
      200: json(
        "The environment has this name",
        z.strictObject({ id: z.string(), name: z.string(), message: z.string() }).meta({ id: "RenamedEnvironment" }),
      ),
    }),
    errors: ["not_found", "conflict"],
  },
  deleteEnvironment: {
    ...environment,
    method: "DELETE",
    path: "/api/environments/:id",
    audit: "environment.delete",
    summary: "Delete an environment; until `final` it can be restored",
    kind: "write",
    responses: () => ({
      200: json(
        "Its API keys are not valid any more",
        z
          .strictObject({ id: z.string(), final: z.iso.datetime(), message: z.string() })
          .meta({ id: "DeletedEnvironment" }),
      ),
    }),
    errors: ["not_found", "conflict"],
  },
  restoreEnvironment: {
    ...environment,
    method: "POST",
    path: "/api/environments/:id/restore",
    audit: "environment.restore",
    summary: "Restore a deleted environment",
    kind: "write",
    responses: () => ({
      200: json(
        "The environment is active again",
        z.strictObject({ id: z.string(), message: z.string() }).meta({ id: "RestoredEnvironment" }),
      ),
    }),
    errors: ["not_found", "conflict"],
  },
  abandonEnvironment: {
    ...environment,
    method: "POST",
    path: "/api/environments/:id/abandon",
    audit: "environment.abandon",
    summary: "Forget an environment whose data never arrived at this node, so that its id is free",
    description: "A node that has data of it keeps them in its data directory.",
    kind: "write",
    responses: () => ({
      200: json(
        "There is no such environment any more",
        z.strictObject({ id: z.string(), message: z.string() }).meta({ id: "AbandonedEnvironment" }),
      ),
    }),
    errors: ["not_found", "conflict"],
  },
  postEnvironmentKey: {
    ...environment,
    method: "POST",
    path: "/api/environments/:id/keys",
    audit: "environment.key",
    summary: "Create another admin key of an environment, for one whose keys are lost",
    kind: "write",
    responses: () => ({
      200: json(
        "The key, which is not shown again",
        z.strictObject({ id: z.string(), token: z.string(), message: z.string() }).meta({ id: "EnvironmentKey" }),
      ),
    }),
    errors: ["not_found", "conflict"],
  },
  postTestEnvironment: {
    method: "POST",
    path: "/test_environment",
    tag: "operation",
    kind: "node",
    role: undefined,
    summary: "Create a throw-away environment for tests; only `ostiary dev` has this operation",
    isDevelopment: true,
    errors: ["not_found"],
    query: () => testEnvironmentQuery,
    responses: () => ({
      200: json(
        "The API key of the environment",
        z.strictObject({ token: z.string() }).meta({ id: "TestEnvironment" }),
      ),
    }),
  },
});

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

const testEnvironmentQuery = z.object({ copy: z.enum(["true", "false"]).optional() });
