/** Promotion: an edge becomes the primary. */
import { z } from "zod";
import { forceAndGraceful } from "../../http/request/request-schemas.ts";
import { flag } from "../../http/request/query-schemas.ts";
import { endpoints, json } from "../../http/endpoint.ts";

const appliance =
  "a promotion is one of all environments of the node, so it needs an admin key of the default environment";

export const promotionEndpoints = endpoints({
  previewPromotion: {
    method: "GET",
    path: "/api/promote",
    tag: "operation",
    summary: "What a promotion of this node would do now: why it would be refused, and what it would lose",
    description:
      "It makes the checks that need no votes of other nodes, and changes nothing. The promotion can still be refused.",
    kind: "node",
    role: "admin",
    appliance,
    query: () => promotionQuery,
    responses: () => ({ 200: json("The preview", promotionPreviewSchema) }),
  },
  promote: {
    method: "POST",
    path: "/api/promote",
    tag: "operation",
    summary: "Make this edge the primary, of all its environments",
    description: "If it failed for `failed_environments`, it can be repeated for them.",
    kind: "node",
    role: "admin",
    appliance,
    audit: "node.promote",
    weighs: "as-write",
    body: "promote",
    responses: () => ({ 200: json("This node is the primary", promotedSchema) }),
    errors: ["conflict"],
  },
});

const promotionQuery = z
  .strictObject({ force: flag, graceful: flag })
  .refine(({ force, graceful }) => !(force && graceful), { error: forceAndGraceful });

const preview = {
  possible: z.boolean().meta({ description: "Whether nothing that is known prevents the promotion" }),
  reasons: z.array(z.string()).meta({ description: "Why it would be refused" }),
  warnings: z.array(z.string()).meta({ description: "What it may lose, and what it waits for" }),
  missing_events: z.int().meta({ description: "Events that this node lacks and fetches from nodes that answer" }),
  lost_events: z
    .int()
    .nullable()
    .meta({ description: "Events that the primary is known to have and no node that answers; null if not known" }),
};

const role = z.enum(["primary", "edge", "fallback"]);

const promotionPreviewSchema = z
  .strictObject({
    node: z.string(),
    role,
    offset: z.int().nullable(),
    ...preview,
    primary: z.strictObject({ url: z.string(), answers: z.boolean() }).nullable(),
    nodes: z
      .array(
        z.strictObject({
          url: z.string(),
          node: z.string().nullable(),
          role: role.nullable(),
          offset: z.int().nullable(),
        }),
      )
      .meta({ description: "The other nodes; one that does not answer has only its URL" }),
    environments: z
      .array(z.strictObject({ id: z.string(), ...preview }))
      .meta({ description: "The environments besides the default one of which this node is an edge" }),
  })
  .meta({ id: "PromotionPreview" });

const promotedSchema = z
  .strictObject({
    message: z.string(),
    epoch: z.string(),
    offset: z.int(),
    failed_environments: z.array(z.strictObject({ id: z.string(), reason: z.string() })).optional(),
  })
  .meta({ id: "Promoted" });
