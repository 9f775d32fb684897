/** A backup: all data of this node, including the log, as one file. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import type { Node } from "../../replication/node.ts";
import { readAccess } from "../middleware/access.ts";

export function backupRoutes(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, { role: "admin", bodyBytesMax: limits.readBodyBytesMax }))
    .get("/api/backup", () => node.backup());
}
