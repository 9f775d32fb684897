/** Whether an environment is empty. */

/** As `call` of the session, for any credential. */
export type CallEnvironment = (path: string, options: CallEnvironmentOptions) => Promise<unknown>;

export interface CallEnvironmentOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** The active policy; `null` if there is none. */
export async function activePolicy(call: CallEnvironment, signal?: AbortSignal): Promise<string | null> {
  const { policy } = (await call("/api/policy", { signal })) as { readonly policy: { readonly src: string } | null };
  return policy?.src ?? null;
}

/** Whether it has neither a policy nor facts. */
export async function isEmptyEnvironment(call: CallEnvironment, signal?: AbortSignal): Promise<boolean> {
  if ((await activePolicy(call, signal)) !== null) return false;
  const { results } = (await call("/api/facts?page_size=1", { signal })) as { readonly results: readonly unknown[] };
  return results.length === 0;
}
