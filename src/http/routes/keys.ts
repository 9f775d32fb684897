/**
 * API keys, for administrators. Only the response that creates a key has its text; nodes store and replicate the hash,
 * the name and the role.
 */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { mintApiKey } from "../../engine/authenticate.ts";
import type { Node, Writes } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { publicKey } from "../events/cloud-event.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import { exchangeOf } from "../middleware/exchange.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { writeResponse, writeMetaOf } from "./write-response.ts";

export function keyReads(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, "admin", limits.readBodyBytesMax))
    .get("/api/keys", () => ({ keys: node.engine().apiKeys().map(publicKey) }));
}

export function keyWrites(node: Node, writes: Writes, limits: Limits, bodies: BodyParser) {
  return new Elysia()
    .use(writeAccess(node, "admin", limits.writeBodyBytesMax))
    .post("/api/keys", async ({ body, request, set }) => {
      const { name, role } = await bodies.parse("key", body);
      exchangeOf(request).audited = { details: { name, role } };
      if (node.engine().apiKeys().length >= limits.apiKeysMax) {
        throw new AppError("invalid_request", `there are ${limits.apiKeysMax} API keys already, remove an unused one`);
      }
      const { id, text, hash } = mintApiKey(node.environment);
      exchangeOf(request).audited = { target: id, details: { name, role } };
      const change = { add: [{ id, name, role, hash, timeMs: Date.now() }], remove: [] };
      const result = await writes.keys(change, writeMetaOf(request));
      return { id, name, role, token: text, ...writeResponse(set, result, "keep the token, it is not shown again") };
    })
    .delete("/api/keys/:id", async ({ params, request, set }) => {
      // Elysia gives null for a path parameter with malformed percent-encoding.
      const id: string | null = params.id;
      if (id === null)
        throw new AppError("invalid_request", "the id of the API key in the path is not percent-encoded UTF-8");
      exchangeOf(request).audited = { target: id };
      // The writer decides whether the last admin key can be removed.
      if (node.engine().apiKey(id) === null)
        throw new AppError("not_found", `there is no API key \`${clip(id, 100)}\``);
      return writeResponse(set, await writes.keys({ add: [], remove: [id] }, writeMetaOf(request)), "API key removed");
    });
}
