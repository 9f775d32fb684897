/**
 * aedes calls `read()` once per batch and expects everything that is buffered. Streams of Node 26 and later, and so of Bun, give one chunk per
 * call (nodejs/node#60441), after which aedes waits for bytes that it already has: over WebSocket a quarter to a half of all connections hang
 * after CONNACK, over TCP any packet that was split while `authenticate` was pending. This gives aedes the old `read()` back.
 */
import type { Duplex } from "node:stream";

export function drainRead<T extends Duplex>(connection: T): T {
  const readChunk = connection.read.bind(connection);
  connection.read = (size?: number): Buffer | null => {
    if (typeof size === "number") return readChunk(size) as Buffer | null;
    const chunks: Buffer[] = [];
    for (let chunk = readChunk() as Buffer | null; chunk !== null; chunk = readChunk() as Buffer | null)
      chunks.push(chunk);
    if (chunks.length === 0) return null;
    return chunks.length === 1 ? (chunks[0] ?? null) : Buffer.concat(chunks);
  };
  return connection;
}
