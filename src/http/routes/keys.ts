/** API keys, for admins. The text of a key exists in one answer only; what is stored, replicated and listed is its name, role and hash. */
import { Elysia } from "elysia";
import type { Limits } from "../../config/limits.ts";
import { mintApiKey } from "../../engine/authenticate.ts";
import type { Node, Writes } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { readAccess, writeAccess } from "../middleware/access.ts";
import type { BodyParser } from "../request/body-parser.ts";
import { writeResponse, writeMetaOf } from "./write-response.ts";

export function keyReads(node: Node, limits: Limits) {
  return new Elysia()
    .use(readAccess(node, { role: "admin", bodyBytesMax: limits.readBodyBytesMax }))
    .get("/api/keys", () => ({
      keys: node
        .engine()
        .apiKeys()
        .map(({ id, name, role, timeMs }) => ({ id, name, role, created: new Date(timeMs).toISOString() })),
    }));
}

export function keyWrites(node: Node, writes: Writes, limits: Limits, bodies: BodyParser) {
  return new Elysia()
    .use(writeAccess(node, { role: "admin", bodyBytesMax: limits.writeBodyBytesMax }))
    .post("/api/keys", async ({ body, request, set }) => {
      const { name, role } = await bodies.parse("key", body);
      if (node.engine().apiKeys().length >= limits.apiKeysMax) {
        throw new AppError(
          "invalid_request",
          `there are ${limits.apiKeysMax} API keys already, remove one that nobody uses`,
        );
      }
      const { id, text, hash } = mintApiKey(node.environment);
      const result = await writes.keys(
        { add: [{ id, name, role, hash, timeMs: Date.now() }], remove: [] },
        writeMetaOf(request),
      );
      return { id, name, role, token: text, ...writeResponse(set, result, "keep the token, it is not shown again") };
    })
    .delete("/api/keys/:id", async ({ params, request, set }) => {
      const id = decodedId(params);
      // Whether the last admin may go is for the writer to say.
      if (node.engine().apiKey(id) === null)
        throw new AppError("not_found", `there is no API key \`${clip(id, 100)}\``);
      return writeResponse(set, await writes.keys({ add: [], remove: [id] }, writeMetaOf(request)), "API key removed");
    });
}

/** Elysia gives null for a part of a path whose percent-encoding is malformed. */
function decodedId({ id }: { readonly id: string | null }): string {
  if (id === null)
    throw new AppError("invalid_request", "the id of the API key in the path is not percent-encoded UTF-8");
  return id;
}
