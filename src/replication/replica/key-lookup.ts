/**
 * Looks up an API key at the primary. A new key may not have arrived in an edge's own database yet, and its first write
 * must not fail. Only the key's hash is sent. The rate is limited, because anybody can invent keys.
 */
import type { Config } from "../../config/config.ts";
import { hashKey, parseApiKey } from "../../store/keys/api-keys.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { ApiKeyLookup, NodeClient } from "../transport/node-client.ts";

const log = getLogger("keys");

/** Returns the lookup of a key's role. AppError `not_ready`: the primary does not answer, or too many lookups run. */
export function keyLookup(
  { environment, limits: { keyLookupsPerSecondMax: perSecondMax } }: Pick<Config, "environment" | "limits">,
  primary: () => Pick<NodeClient, "apiKey">,
  clock: Clock,
): (key: string) => Promise<ApiKeyLookup> {
  let second = Number.NEGATIVE_INFINITY;
  let lookups = 0;
  return async (text: string): Promise<ApiKeyLookup> => {
    const parsed = text.length <= keyLengthMax ? parseApiKey(text) : undefined;
    if (parsed?.environment !== environment) return "unknown";
    const now = Math.floor(clock.monotonicMs() / 1000);
    if (now !== second) [second, lookups] = [now, 0];
    if (++lookups > perSecondMax)
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
