/** Who shows this key? Keys are part of the replicated state, so every node answers that from its own copy. */
import { parseApiKey, verifyKey } from "../store/keys/api-keys.ts";
import type { Engine } from "./engine.ts";
import type { ApiKey } from "./state/event.ts";

export { mintApiKey } from "../store/keys/api-keys.ts";

/** The key whose text this is; `undefined` where it is malformed, unknown, removed or has another secret. */
export function authenticate(engine: Engine, text: string): ApiKey | undefined {
  const parsed = text.length <= keyLengthMax ? parseApiKey(text) : undefined;
  if (parsed === undefined) return undefined;
  const key = engine.apiKey(parsed.id);
  return key !== null && verifyKey(text, key.hash) ? key : undefined;
}

const keyLengthMax = 512;
