/** Code of the console that is loaded when it is shown. */
import { useEffect } from "preact/hooks";
import { checkNode, NoAnswerError, silentSinceMs } from "../api/node-api.ts";
import { CodeError } from "./code-error.ts";
import { type RemoteData, useLoaded } from "./loaded.ts";

/** A browser waits for a node that hangs as long as the network does. */
const timeoutMs = 20_000;

/**
 * `load` imports the code that `name` names. Its error is a NoAnswerError, or a CodeError if the node answers. Browsers
 * keep the failure of an import, and fail at once the next time (HTML, "module map"). So nothing is imported from a node
 * that is away.
 */
export function useCode<T>(name: string, load: () => Promise<T>): RemoteData<T> {
  return useLoaded(name, async (signal) => {
    await expectAnswer();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new CodeError()), timeoutMs);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
    try {
      return await Promise.race([load(), late.promise]);
    } catch {
      await expectAnswer();
      throw new CodeError();
    } finally {
      clearTimeout(timer);
    }
  });
}

async function expectAnswer(): Promise<void> {
  await checkNode();
  if (silentSinceMs.value !== undefined) throw new NoAnswerError();
}

const reloadedKey = "ostiary-reloaded";

/**
 * As `useCode`, for the code of a whole screen. If the node answers and the code cannot be loaded, the page is old, or
 * the browser keeps a failure. Then a new page helps, and loses nothing. It is loaded once.
 */
export function useScreenCode<T>(name: string, load: () => Promise<T>): RemoteData<T> {
  const code = useCode(name, load);
  const { data, error } = code;
  useEffect(() => {
    if (data !== undefined) sessionStorage.removeItem(reloadedKey);
    if (!(error instanceof CodeError) || sessionStorage.getItem(reloadedKey) !== null) return;
    try {
      sessionStorage.setItem(reloadedKey, name);
    } catch {
      // Without space for the note it could be loaded for ever.
      return;
    }
    location.reload();
  }, [name, data, error]);
  return code;
}
