/**
 * An MQTT 5 broker under the control of an attacker: it follows the protocol, and the test decides about each message.
 * It can drop, delay and repeat messages, mark retained ones as new, and close connections for false reasons. It cannot
 * create messages, because it does not know the node key.
 */
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
}

/** The treatment of a message: `pass`, `drop`, or a delay in ms. */
export type Treatment = "pass" | "drop" | number;

export interface HostileBroker extends AsyncDisposable {
  readonly url: string;
  /** All published messages, in order. */
  readonly published: readonly Message[];
  /** Decides about the next messages. */
  treat: (message: Message) => Treatment;
  /** Sends a message to all subscribers of its topic. */
  send(message: Message, flags?: { readonly retained?: boolean }): void;
  /** Deletes all retained messages. */
  forget(): void;
  /** Disconnects clients whose id has this prefix with the reason "session taken over". Returns their number. */
  takeAway(idStart: string): number;
}

interface Client {
  readonly socket: Socket;
  id: string;
  readonly filters: Set<string>;
}

export async function openHostileBroker(): Promise<HostileBroker> {
  const clients = new Set<Client>();
  const retained = new Map<string, Message>();
  const published: Message[] = [];
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const send = (message: Message, isRetained: boolean): void => {
    for (const client of clients) if (listens(client, message.topic)) deliver(client, message, isRetained);
  };
  const events: Events = {
    published(message, isRetained) {
      published.push(message);
      if (isRetained) retained.set(message.topic, message);
      const treatment = broker.treat(message);
      if (treatment === "pass") return send(message, false);
      if (treatment === "drop") return;
      const timer = setTimeout(() => (timers.delete(timer), send(message, false)), treatment);
      timers.add(timer);
    },
    subscribed(client) {
      for (const message of retained.values()) if (listens(client, message.topic)) deliver(client, message, true);
    },
  };
  const server = createServer((socket) => {
    const client: Client = { socket, id: "", filters: new Set() };
    clients.add(client);
    socket.on("error", () => {});
    socket.once("close", () => clients.delete(client));
    let rest = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      for (let packet = firstPacket(rest); packet !== undefined; packet = firstPacket(rest)) {
        rest = rest.subarray(packet.bytes);
        take(client, packet, events);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const broker: HostileBroker = {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    published,
    treat: () => "pass",
    send: (message, flags) => send(message, flags?.retained === true),
    forget: () => retained.clear(),
    takeAway(idStart) {
      const taken = [...clients].filter(({ id }) => id.startsWith(idStart));
      for (const { socket } of taken) socket.end(packetOf(0xe0, [Buffer.of(142)]));
      return taken.length;
    },
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearTimeout(timer);
      for (const { socket } of clients) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
  return broker;
}

const noProperties = Buffer.of(0);

interface Events {
  published(message: Message, isRetained: boolean): void;
  subscribed(client: Client): void;
}

/** A packet of a client: CONNECT, PUBLISH, SUBSCRIBE, PINGREQ or DISCONNECT. */
function take(client: Client, { type, body }: Packet, events: Events): void {
  const { socket } = client;
  switch (type >> 4) {
    case 1:
      client.id = textAt(body, 11 + (body[10] ?? 0));
      return void socket.write(packetOf(0x20, [Buffer.of(0, 0), noProperties]));
    case 3: {
      const topic = textAt(body, 0);
      const hasId = ((type >> 1) & 3) > 0;
      const afterId = 2 + Buffer.byteLength(topic) + (hasId ? 2 : 0);
      if (hasId) socket.write(packetOf(0x40, [body.subarray(afterId - 2, afterId)]));
      const begin = afterId + 1 + (body[afterId] ?? 0);
      return events.published({ topic, payload: Buffer.from(body.subarray(begin)) }, (type & 1) === 1);
    }
    case 8: {
      const begin = 3 + (body[2] ?? 0);
      const filters: string[] = [];
      for (let at = begin; at < body.length; at += 3 + Buffer.byteLength(filters.at(-1) ?? ""))
        filters.push(textAt(body, at));
      for (const filter of filters) client.filters.add(filter);
      socket.write(packetOf(0x90, [body.subarray(0, 2), noProperties, Buffer.alloc(filters.length)]));
      return events.subscribed(client);
    }
    case 12:
      return void socket.write(packetOf(0xd0, []));
    case 14:
      socket.end();
  }
}

function deliver({ socket }: Client, { topic, payload }: Message, isRetained: boolean): void {
  socket.write(packetOf(isRetained ? 0x31 : 0x30, [text(topic), noProperties, payload]));
}

function listens({ filters }: Client, topic: string): boolean {
  return [...filters].some((filter) =>
    filter.endsWith("/+") ? topic.startsWith(filter.slice(0, -1)) : filter === topic,
  );
}

interface Packet {
  readonly type: number;
  readonly body: Buffer;
  /** The size of the whole packet. */
  readonly bytes: number;
}

function firstPacket(bytes: Buffer): Packet | undefined {
  let length = 0;
  for (let at = 1; at < Math.min(bytes.length, 5); at++) {
    const byte = bytes[at] ?? 0;
    length += (byte & 0x7f) * 128 ** (at - 1);
    if ((byte & 0x80) !== 0) continue;
    const end = at + 1 + length;
    return bytes.length < end ? undefined : { type: bytes[0] ?? 0, body: bytes.subarray(at + 1, end), bytes: end };
  }
  return undefined;
}

function packetOf(type: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length: number[] = [];
  for (let rest = body.length; length.length === 0 || rest > 0; rest = Math.floor(rest / 128))
    length.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
  return Buffer.concat([Buffer.of(type, ...length), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
}

const textAt = (body: Buffer, at: number): string => body.toString("utf8", at + 2, at + 2 + body.readUInt16BE(at));
