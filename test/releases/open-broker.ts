/**
 * A broker in this process (aedes) without access rules: it records what nodes publish, or publishes what nodes of
 * another release published.
 */
import { createServer, type AddressInfo, type Socket } from "node:net";
import { Aedes } from "aedes";
import type { BrokerMessage } from "./recorded.ts";

export class OpenBroker {
  readonly url: string;
  /** In the order of their arrival. */
  readonly messages: BrokerMessage[] = [];
  /** Topics with a subscriber. */
  readonly subscribed = new Set<string>();
  readonly #aedes: Aedes;
  readonly #close: () => Promise<void>;

  static async start(): Promise<OpenBroker> {
    const aedes = await Aedes.createBroker();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.once("close", () => sockets.delete(socket)));
      aedes.handle(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new OpenBroker(aedes, (server.address() as AddressInfo).port, async () => {
      await new Promise<void>((resolve) => aedes.close(resolve));
      for (const socket of sockets) socket.destroy();
      server.close();
    });
  }

  private constructor(aedes: Aedes, port: number, close: () => Promise<void>) {
    this.url = `mqtt://127.0.0.1:${port}`;
    this.#aedes = aedes;
    this.#close = close;
    aedes.on("subscribe", (subscriptions) => {
      for (const { topic } of subscriptions) this.subscribed.add(topic);
    });
    // Null is this process, for its own messages and for those of the broker.
    aedes.on("publish", ({ topic, payload, retain }, client) => {
      if (client !== null) this.messages.push({ topic, retained: retain, payload: payload.toString() });
    });
  }

  publish({ topic, retained, payload }: BrokerMessage): Promise<void> {
    const packet = {
      cmd: "publish",
      topic,
      payload: Buffer.from(payload),
      qos: 1,
      retain: retained,
      dup: false,
    } as const;
    return new Promise((resolve, reject) => {
      this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): Promise<void> {
    return this.#close();
  }
}
