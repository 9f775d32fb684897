/** Page tokens of `GET /api/audit`: the position of the last entry that was examined. They are valid on every node. */
import { z } from "zod";
import { malformedToken } from "./page-token.ts";
import type { AuditPosition } from "../../store/log/audit-log.ts";

const tokenSchema = z.tuple([z.literal(1), z.int().min(0), z.string().max(64)]);

export function formatAuditPageToken({ timeMs, id }: AuditPosition): string {
  return Buffer.from(JSON.stringify([1, timeMs, id])).toString("base64url");
}

/** Throws `invalid_request` if the text is not a token. */
export function parseAuditPageToken(token: string): AuditPosition {
  try {
    const [, timeMs, id] = tokenSchema.parse(JSON.parse(Buffer.from(token, "base64url").toString("utf8")));
    return { timeMs, id };
  } catch {
    throw malformedToken();
  }
}
