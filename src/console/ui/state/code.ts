/** Code of the console that is loaded when it is shown. */
import { checkNode } from "../api/node-api.ts";
import { CodeError } from "./code-error.ts";
import { type RemoteData, useLoaded } from "./loaded.ts";

/** A browser waits for a node that hangs as long as the network does. */
const timeoutMs = 20_000;

/** `load` imports the code that `name` names. Its error is a CodeError. */
export function useCode<T>(name: string, load: () => Promise<T>): RemoteData<T> {
  return useLoaded(name, async (signal) => {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new CodeError()), timeoutMs);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
    try {
      return await Promise.race([load(), late.promise]);
    } catch {
      // Only if the node answers does a new page help.
      await checkNode();
      throw new CodeError();
    } finally {
      clearTimeout(timer);
    }
  });
}
