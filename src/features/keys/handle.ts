/**
 * API keys, for administrators. Only the response that creates a secret has its text; nodes store and replicate the
 * hash, the name and the grant.
 */
import type { Limits } from "../../config/limits.ts";
import { publicGrant } from "../../http/events/public-grant.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import type { Expiry } from "../../http/request/key-schemas.ts";
import type { Handlers } from "../../http/router.ts";
import { writeMetaOf, writeResponse, writesOf } from "../../http/write-response.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { isExpired, type KeySecret } from "../../store/keys/key-grant.ts";
import { mintApiKey } from "../../store/keys/api-keys.ts";
import type { keyEndpoints } from "./endpoints.ts";

export function handleKeys(node: Node, limits: Limits): Handlers<typeof keyEndpoints> {
  return {
    getKeys: () => ({ keys: listKeys(node) }),
    postKey: async ({ body: { name, role, expires, restriction }, request, set }) => {
      exchangeOf(request).audited = { details: { name, role } };
      const { id, text, hash } = mintApiKey(node.environment);
      exchangeOf(request).audited = { target: id, details: { name, role } };
      const timeMs = node.clock.wallMs();
      const secret: KeySecret = { id, name, role, hash, timeMs, expiresMs: timeOf(expires, timeMs), restriction };
      const change = { add: [secret], remove: [], keysMax: limits.apiKeysMax };
      const result = await writesOf(node).keys(change, writeMetaOf(request));
      const shown = writeResponse(set, result, "keep the token, it is not shown again");
      return { id, name, role, token: text, ...publicGrant(secret), ...shown };
    },
    postKeyRotation: async ({ body: { grace, expires }, params, request, set }) => {
      const present = requireKey(node, params.id);
      const { id, name, role } = present;
      const { text, hash } = mintApiKey(node.environment, id);
      const nowMs = node.clock.wallMs();
      const [expiresMs, replacedExpiresMs] = [timeOf(expires, nowMs), nowMs + grace];
      const rotate = { id, hash, expiresMs, replacedExpiresMs, nowMs };
      const result = await writesOf(node).keys({ add: [], remove: [], rotate }, writeMetaOf(request));
      const grant = publicGrant({ ...present, expiresMs: expiresMs ?? present.expiresMs });
      const replacedExpires = timeText(Math.min(replacedExpiresMs, present.expiresMs ?? Infinity));
      const shown = writeResponse(set, result, "keep the token, it is not shown again");
      return { id, name, role, token: text, ...grant, replaced_expires: replacedExpires, ...shown };
    },
    deleteKey: async ({ params: { id }, request, set }) => {
      // The writer decides whether the last admin key can be removed.
      const result = await writesOf(node).keys({ add: [], remove: [id] }, writeMetaOf(request));
      if (result.unchanged === true) throw unknownKey(id);
      return writeResponse(set, result, "API key removed");
    },
  };
}

/** The present secret of the key. */
function requireKey(node: Node, id: string): KeySecret {
  const [present] = node.engine().secretsOf(id);
  if (present === undefined) throw unknownKey(id);
  return present;
}

function unknownKey(id: string): AppError {
  return new AppError("not_found", `there is no API key \`${clip(id, 100)}\``);
}

function timeOf(expiry: Expiry | undefined, nowMs: number): number | undefined {
  if (expiry === undefined) return undefined;
  const atMs = "atMs" in expiry ? expiry.atMs : nowMs + expiry.afterMs;
  if (atMs > nowMs) return atMs;
  throw new AppError("invalid_request", `\`expires\` in the body is in the past: it is ${timeText(nowMs)} here`);
}

function listKeys(node: Node) {
  const secrets = node.engine().apiKeys();
  const nowMs = node.clock.wallMs();
  const replaced = new Map(secrets.filter(({ isReplaced }) => isReplaced === true).map((each) => [each.id, each]));
  return secrets
    .filter(({ isReplaced }) => isReplaced !== true)
    .map((secret) => {
      const { id, name, role, timeMs } = secret;
      const before = replaced.get(id);
      const isUsable = before?.expiresMs !== undefined && !isExpired(before, nowMs);
      return {
        ...{ id, name, role, created: timeText(timeMs), last_used: lastUsed(node, id) },
        ...publicGrant(secret),
        ...(isExpired(secret, nowMs) && { expired: true as const }),
        ...(isUsable && { replaced_expires: timeText(before.expiresMs) }),
      };
    });
}

function lastUsed({ keyUses }: Node, id: string): string | null {
  const usedMs = keyUses.lastUsedMs(id);
  return usedMs === undefined ? null : timeText(usedMs);
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
