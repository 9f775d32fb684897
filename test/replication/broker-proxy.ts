/** A proxy between a node and its broker that can stall, and that records the connections. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface BrokerProxy {
  /** The `mqtt://` address of the proxy on this machine. */
  readonly url: string;
  /** When connections were made (`performance.now()`), and the version in their CONNECT packet: 4 is 3.1.1. */
  readonly connections: readonly { readonly atMs: number; readonly version: number | undefined }[];
  /** Passes nothing from the broker on existing connections until `resume`. */
  stall(): void;
  resume(): void;
  close(): void;
}

/** Without a port, each client is disconnected immediately. */
export async function openBrokerProxy(brokerPort?: number): Promise<BrokerProxy> {
  const clients = new Map<Socket, Socket>(); // by their connection to the broker
  const connections: { atMs: number; version: number | undefined }[] = [];
  const server = createServer((client) => {
    const connection = { atMs: performance.now(), version: undefined as number | undefined };
    connections.push(connection);
    client.on("error", () => {});
    if (brokerPort === undefined) return client.destroy();
    client.once("data", (bytes: Buffer) => (connection.version = bytes[bytes.indexOf("MQTT") + 4]));
    const broker = connect(brokerPort, "127.0.0.1").on("error", () => client.destroy());
    clients.set(broker, client);
    client.pipe(broker);
    broker.pipe(client);
    client.once("close", () => broker.destroy());
    broker.once("close", () => {
      clients.delete(broker);
      client.end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    stall: () => clients.forEach((_client, broker) => broker.unpipe().pause()),
    resume: () => clients.forEach((client, broker) => broker.pipe(client)),
    close() {
      server.close();
      for (const broker of clients.keys()) broker.destroy();
    },
  };
}
