/**
 * aedes hands a message to all subscribers and waits for the slowest before it takes the next. So one that is frozen would hold up everybody
 * for the whole drain time-out. Here it does so for a moment only: then it is behind, gets no further messages (it notices, and asks the primary
 * for what it missed), and nobody waits for it. It is back once it took what it had; it loses its connection where it does not.
 */
import type { Duplex } from "node:stream";

/** Longer than a healthy node is ever busy with something else. What waits for it meanwhile is what may be under way at once. */
const slowAfterMs = 200;

/** What is written to who is behind are answers to what it asks itself; without an end only where somebody means to fill our memory. */
const pendingBytesMax = 4 * 1024 * 1024;

const slowConnections = new WeakSet<Duplex>();

/** Whether the connection is one that messages are kept from, for now. */
export const isSlow = (connection: Duplex): boolean => slowConnections.has(connection);

export function isolateSlowSubscriber<T extends Duplex>(connection: T, timeoutMs: number): T {
  const write = connection.write.bind(connection) as (...parameters: unknown[]) => boolean;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let releasing = false;

  const release = (): void => {
    slowConnections.add(connection);
    // Whoever waits for room goes on as if there were some.
    releasing = true;
    connection.emit("drain");
    releasing = false;
    const reason = new Error(`it took nothing for ${timeoutMs} ms`);
    timer = setTimeout(() => connection.destroy(reason), Math.max(0, timeoutMs - slowAfterMs));
  };
  const drained = (): void => {
    if (releasing) return;
    clearTimeout(timer);
    timer = undefined;
    slowConnections.delete(connection);
  };
  connection.on("drain", drained);
  connection.once("close", drained);
  connection.write = ((...parameters: unknown[]): boolean => {
    const room = write(...parameters);
    if (room) return true;
    timer ??= setTimeout(release, Math.min(slowAfterMs, timeoutMs));
    if (!slowConnections.has(connection)) return false;
    if (connection.writableLength > pendingBytesMax) connection.destroy(new Error("it reads none of its answers"));
    return true;
  }) as T["write"];
  return connection;
}
