/** Authentication by API key, in the node's own database: keys are part of the replicated state. */
import { hashKey, parseApiKey, secretIn } from "../store/keys/api-keys.ts";
import type { KeySecret } from "../store/keys/key-grant.ts";
import type { Engine } from "./engine.ts";

/**
 * The secret with this text, which can have expired. `undefined` if the text is malformed, the key unknown, or its
 * secret another one.
 */
export function authenticate(engine: Engine, text: string): KeySecret | undefined {
  const parsed = text.length <= keyLengthMax ? parseApiKey(text) : undefined;
  return parsed === undefined ? undefined : secretIn(engine.secretsOf(parsed.id), hashKey(text));
}

const keyLengthMax = 512;
