/** Promotion: an edge becomes the primary. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { writeAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";

export function promoteRoutes(node: Node, limits: Limits, bodies: BodyParser) {
  return new Elysia()
    .use(writeAccess(node, { role: "admin", bodyBytesMax: limits.writeBodyBytesMax }))
    .post("/api/promote", async ({ body }) => {
      const options = await bodies.parse("promote", body);
      if (node.promote === undefined)
        throw new AppError("conflict", `this is a ${node.role}, only an edge can be promoted`);
      const { epoch, offset } = await node.promote(options);
      return { message: `this node is the primary from offset ${offset} on`, epoch, offset };
    });
}
