/** MQTT 3.1.1 byte by byte, for clients that do what no library does: send packets in pieces, or stop reading. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** CONNECT with a clean session and without keepalive. */
export function loginPacket(clientId: string, password?: string): Buffer {
  const flags = password === undefined ? 0x02 : 0xc2;
  const login = password === undefined ? [] : [text(clientId), text(password)];
  return packet(0x10, [text("MQTT"), Buffer.of(4, flags, 0, 0), text(clientId), ...login]);
}

/** SUBSCRIBE at QoS 0, with packet id 7. */
export function subscribePacket(topics: readonly string[]): Buffer {
  return packet(0x82, [Buffer.of(0, 7), ...topics.flatMap((topic) => [text(topic), Buffer.of(0)])]);
}

function packet(type: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(type, ...lengthBytes(body.length)), body]);
}

/** The remaining length: seven bits per byte, the lowest first. */
function lengthBytes(length: number): number[] {
  return length < 128 ? [length] : [(length % 128) | 128, ...lengthBytes(Math.floor(length / 128))];
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.of(value.length >> 8, value.length & 0xff), Buffer.from(value)]);
}

export interface FrozenOptions {
  readonly port: number;
  /** The path, for MQTT over WebSocket. */
  readonly path?: string | undefined;
  readonly clientId: string;
  readonly password: string;
  readonly topics: readonly string[];
}

/** A subscriber that stops reading after its subscription is confirmed: a frozen process, from the broker's view. */
export async function freezeSubscriber(options: FrozenOptions): Promise<Socket> {
  const { port, path, clientId, password, topics } = options;
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  await once(socket, "connect");
  if (path !== undefined) await upgrade(socket, path);
  const send = (bytes: Buffer): boolean => socket.write(path === undefined ? bytes : framed(bytes));
  send(loginPacket(clientId, password));
  send(subscribePacket(topics));
  let received = Buffer.alloc(0);
  const confirmed = Buffer.of(0x90, 2 + topics.length, 0, 7);
  while (!(path === undefined ? received : unframed(received)).includes(confirmed)) {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    received = Buffer.concat([received, bytes]);
  }
  socket.pause();
  return socket;
}

/** The request for a WebSocket with MQTT. */
export function upgradeRequest(path: string): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol: mqtt",
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

async function upgrade(socket: Socket, path: string): Promise<void> {
  socket.write(upgradeRequest(path));
  const [answer] = (await once(socket, "data")) as [Buffer];
  if (!answer.toString("latin1").startsWith("HTTP/1.1 101")) throw new Error(`no WebSocket: ${answer.toString()}`);
}

/** One masked frame of up to 64 KiB. A mask of zeros leaves the payload unchanged. */
export const framed = (payload: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0x82, 0x80 | 126, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0), payload]);

/** The payloads of short frames, which need not be aligned with packets. */
function unframed(bytes: Buffer): Buffer {
  const payloads: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 2 + (bytes[at + 1] ?? 0))
    payloads.push(bytes.subarray(at + 2, at + 2 + (bytes[at + 1] ?? 0)));
  return Buffer.concat(payloads);
}
