/**
 * Bounds what a broker has to buffer for one connection. The MQTT parser collects a packet of up to 256 MB before anybody looks at it, even
 * before the login; this walks over the packets' lengths in the bytes that are read, and ends the connection at the first that is too long.
 */
import type { Duplex } from "node:stream";

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

/** Takes the stream piece by piece and tells whether all packets so far announce an allowed length. */
function packetSizeCheck(packetBytesMax: number): (bytes: Uint8Array) => boolean {
  let skip = 0; // bytes of the present packet that are still to come
  let length: number | undefined; // what was read so far of the next packet's length; undefined before its first byte
  let scale = 1;
  return (bytes) => {
    let at = 0;
    while (at < bytes.length) {
      if (skip > 0) {
        const step = Math.min(skip, bytes.length - at);
        skip -= step;
        at += step;
      } else if (length === undefined) {
        length = 0; // the first byte is type and flags
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
