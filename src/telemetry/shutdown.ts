/** Ends the SDK of a signal. */
const timeoutMs = 3000; // a dead collector must not delay a shutdown for longer

/** Exports what is left, for some seconds at most. Never rejects. */
export async function shutDown(provider: { shutdown(): Promise<void> }): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, timeoutMs);
  await Promise.race([provider.shutdown().catch(() => undefined), late.promise]);
  clearTimeout(timer);
}
