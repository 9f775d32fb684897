/** Authentication by API key, in the node's own database: keys are part of the replicated state. */
import { parseApiKey, verifyKey } from "../store/keys/api-keys.ts";
import type { Engine } from "./engine.ts";
import type { ApiKey } from "./state/event.ts";

export { mintApiKey } from "../store/keys/api-keys.ts";

/** The API key with this text; `undefined` if the text is malformed, the key unknown, or its secret another one. */
export function authenticate(engine: Engine, text: string): ApiKey | undefined {
  const parsed = text.length <= keyLengthMax ? parseApiKey(text) : undefined;
  if (parsed === undefined) return undefined;
  const key = engine.apiKey(parsed.id);
  return key !== null && verifyKey(text, key.hash) ? key : undefined;
}

const keyLengthMax = 512;
