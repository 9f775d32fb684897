/**
 * Looks up an API key at the primary. An edge checks keys in its own database, but a key that was created a moment ago may not have arrived there yet, and
 * its first write must not fail. Only the key's hash is sent, and only so many lookups a second: anybody can invent keys.
 */
import type { Config } from "../../config/config.ts";
import { hashKey, parseApiKey } from "../../store/keys/api-keys.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { ApiKeyLookup, NodeClient } from "../transport/node-client.ts";

const log = getLogger("keys");

/** Finds the role of a key by its text, `unknown` where there is no such key. AppError `not_ready` where the primary cannot be asked, or not now. */
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
        "this node does not know the API key, and is looking up too many at the primary already: try again, or send the write to the primary",
      );
    try {
      return await primary().apiKey(parsed.id, hashKey(text));
    } catch (cause) {
      log.info("the primary could not be asked for an API key that is not known here: {reason}", {
        reason: reasonOf(cause),
      });
      throw new AppError(
        "not_ready",
        "this node does not know the API key, and the primary can't be reached to ask for it: nothing was written",
        { cause },
      );
    }
  };
}

const keyLengthMax = 512;
