/**
 * The streams between the embedded broker and its clients. Three wrappers around a connection: `drainRead` repairs an
 * incompatibility between aedes and current streams, `limitPacketSize` bounds the memory for one packet, and
 * `isolateSlowSubscriber` keeps a slow subscriber from delaying the others.
 */
import type { Duplex } from "node:stream";

/**
 * aedes calls `read()` once per batch and expects all buffered bytes. Newer streams return one chunk per call
 * (nodejs/node#60441). Then aedes waits for bytes that it already has: over WebSocket, 25 to 50 % of the connections
 * hang after CONNACK; over TCP, every packet that was split while `authenticate` was pending.
 */
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

/**
 * The MQTT parser of aedes buffers a packet of up to 256 MB before anything checks it, even before the login. This
 * reads the packets' lengths from the incoming bytes and ends the connection at the first packet that is too long.
 */
export function limitPacketSize<T extends Duplex>(connection: T, packetBytesMax: number): T {
  const read = connection.read.bind(connection);
  const walk = packetSizeCheck(packetBytesMax);
  connection.read = (size?: number): Buffer | null => {
    const bytes = read(size) as Buffer | null;
    if (bytes === null || walk(bytes)) return bytes;
    connection.destroy(new Error(`a packet is larger than ${packetBytesMax} bytes`));
    return null;
  };
  return connection;
}

/** Returns a function that takes the stream chunk by chunk and returns false after a packet with a forbidden length. */
function packetSizeCheck(packetBytesMax: number): (bytes: Uint8Array) => boolean {
  let skip = 0; // remaining bytes of the current packet
  let length: number | undefined; // decoded part of the next packet's length; undefined before its first byte
  let scale = 1;
  return (bytes) => {
    let at = 0;
    while (at < bytes.length) {
      if (skip > 0) {
        const step = Math.min(skip, bytes.length - at);
        skip -= step;
        at += step;
      } else if (length === undefined) {
        length = 0; // the first byte holds type and flags
        scale = 1;
        at++;
      } else {
        const byte = bytes[at++] ?? 0;
        length += (byte & 0x7f) * scale;
        scale *= 128;
        if (length > packetBytesMax || scale > 128 ** 4) return false;
        if ((byte & 0x80) === 0) {
          skip = length;
          length = undefined;
        }
      }
    }
    return true;
  };
}

/** A PUBLISH packet at QoS 0 that is not retained (MQTT 3.1.1, 3.3). */
export function publishPacket(topic: string, payload: string): Buffer {
  const topicBytes = Buffer.byteLength(topic);
  const header = [0x30];
  let rest = 2 + topicBytes + Buffer.byteLength(payload);
  for (; rest > 0x7f; rest >>= 7) header.push((rest & 0x7f) | 0x80);
  header.push(rest, topicBytes >> 8, topicBytes & 0xff);
  return Buffer.concat([Buffer.from(header), Buffer.from(topic), Buffer.from(payload)]);
}

/** Resolves when a connection whose last write returned false takes more, or has ended. */
export function roomIn(connection: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      connection.off("drain", done);
      connection.off("close", done);
      resolve();
    };
    connection.on("drain", done);
    connection.on("close", done);
    if (connection.destroyed) done();
  });
}

/** Longer than a healthy node is ever busy with other work. Meanwhile at most a window of messages waits for it. */
const slowAfterMs = 200;

/** A slow client still gets the answers to its requests. One with more unread bytes tries to exhaust the memory. */
const pendingBytesMax = 4 * 1024 * 1024;

const slowConnections = new WeakSet<Duplex>();

/** Whether the connection currently gets no messages. */
export const isSlow = (connection: Duplex): boolean => slowConnections.has(connection);

/**
 * aedes waits for the slowest subscriber of a message before it takes the next message. So one frozen subscriber would
 * delay all others until the drain timeout. With this wrapper it delays them only for a moment. Then it counts as slow
 * and gets no further messages: it notices the gap and asks the primary for the missed events. It gets messages again
 * once it has read its pending bytes; otherwise it loses its connection.
 */
export function isolateSlowSubscriber<T extends Duplex>(connection: T, timeoutMs: number): T {
  const write = connection.write.bind(connection) as (...parameters: unknown[]) => boolean;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let releasing = false;

  const release = (): void => {
    slowConnections.add(connection);
    // Writers that wait for room continue as if there were some.
    releasing = true;
    connection.emit("drain");
    releasing = false;
    const reason = new Error(`it read nothing for ${timeoutMs} ms`);
    timer = setTimeout(() => connection.destroy(reason), Math.max(0, timeoutMs - slowAfterMs));
  };
  // If this process was busy, the connection may have drained meanwhile: its event comes before the next turn.
  const waitForRoom = (): ReturnType<typeof setTimeout> => {
    const waiting = setTimeout(
      () => setImmediate(() => timer === waiting && release()),
      Math.min(slowAfterMs, timeoutMs),
    );
    return waiting;
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
    timer ??= waitForRoom();
    if (!slowConnections.has(connection)) return false;
    if (connection.writableLength > pendingBytesMax) connection.destroy(new Error("it does not read its answers"));
    return true;
  }) as T["write"];
  return connection;
}
