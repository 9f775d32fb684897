/**
 * Looks up an API key at the primary. A new key may not have arrived in an edge's own database yet, and its first write
 * must not fail. Only the key's hash is sent. The rate is limited, because anybody can invent keys. All environments of a
 * node share the limit, and keys of environments that do not exist are looked up as well: otherwise an answer would tell
 * which ones there are.
 */
import type { Config } from "../../config/config.ts";
import { hashKey, parseApiKey } from "../../store/keys/api-keys.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { TokenBuckets } from "../../util/token-buckets.ts";
import type { ApiKeyLookup, NodeClient } from "../transport/node-client.ts";

const log = getLogger("keys");

/** The lookups that a node may make. */
export function keyLookupLimit({ limits }: Pick<Config, "limits">, clock: Clock): TokenBuckets {
  const { keyLookupsPerSecondMax: max } = limits;
  return new TokenBuckets({ capacity: max, perSecond: max }, clock);
}

/** Returns the lookup of a key's role. AppError `not_ready`: the primary does not answer, or too many lookups run. */
export function keyLookup(
  limit: TokenBuckets,
  primary: () => Pick<NodeClient, "apiKey">,
): (key: string) => Promise<ApiKeyLookup> {
  return async (text: string): Promise<ApiKeyLookup> => {
    const parsed = text.length <= keyLengthMax ? parseApiKey(text) : undefined;
    if (parsed === undefined) return "unknown";
    if (!limit.take(""))
      throw new AppError(
        "not_ready",
        "this node does not know the API key, and already looks up too many keys at the primary: try again, or send the write to the primary",
      );
    try {
      return await primary().apiKey(parsed.id, hashKey(text));
    } catch (cause) {
      log.info("the primary could not be asked for an unknown API key: {reason}", { reason: reasonOf(cause) });
      throw new AppError(
        "not_ready",
        "this node does not know the API key, and the primary can't be reached to ask for it: nothing was written",
        { cause },
      );
    }
  };
}

const keyLengthMax = 512;
