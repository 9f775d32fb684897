/**
 * The environment for which this process currently works, so that a line of the log names it without a parameter on the
 * way. It follows timers and promises. A message of a worker, a broker or a socket arrives outside of all environments,
 * so its listener is bound to its own (`inThisEnvironment`).
 */
import { AsyncLocalStorage } from "node:async_hooks";

const storage = new AsyncLocalStorage<string | undefined>();
/** Whether this thread has ever worked for a hosted environment: each request asks several times for the current one. */
let hasHosted = false;

/** The id of the hosted environment; undefined in the default environment. */
export function currentEnvironment(): string | undefined {
  return hasHosted ? storage.getStore() : undefined;
}

/**
 * Runs `body`, and all work that it starts, in the hosted environment `id`, or in the default one if it is undefined.
 * Returns its result, or throws its error.
 */
export function inEnvironment<Result>(id: string | undefined, body: () => Result): Result {
  hasHosted ||= id !== undefined;
  return storage.run(id, body);
}

/** The listener, which runs in the environment in which it is bound. */
export function inThisEnvironment<Parameters extends unknown[], Result>(
  listener: (...parameters: Parameters) => Result,
): (...parameters: Parameters) => Result {
  const id = currentEnvironment();
  return (...parameters) => storage.run(id, listener, ...parameters);
}
