/**
 * One embedded broker for all primaries of a process. Each primary opens its own view. The first one starts the broker
 * and its TCP listener, the last one ends both.
 */
import type { Duplex } from "node:stream";
import { embeddedBroker } from "../../config/broker-address.ts";
import { brokerWindowMax } from "../../util/tuning.ts";
import type { TlsIdentity } from "../tls-identity.ts";
import type { BrokerTransport } from "./broker-transport.ts";
import { BrokerServer, type BrokerLimits, type BrokerTenant } from "./embedded-broker.ts";

export interface EmbeddedBrokerOptions extends BrokerTenant {
  readonly limits: BrokerLimits;
  readonly hostname: string;
  /** The TCP port; 0 means MQTT over WebSocket only. */
  readonly port: number;
}

/** The broker from the view of the primary of one environment. Closing it ends only the connections of its nodes. */
export interface EmbeddedBroker extends BrokerTransport {
  /** The number of nodes of the environment that are logged in. */
  readonly clients: number;
  /** Serves a connection of a node of any environment. */
  handle(connection: Duplex): void;
}

export class SharedBroker {
  readonly #identity: TlsIdentity | undefined;
  #server: BrokerServer | undefined;
  #views = 0;
  /** Views open and close one after the other: a port is free again only when the broker has ended. */
  #last: Promise<unknown> = Promise.resolve();

  /** With a certificate the TCP listener speaks TLS. */
  constructor(identity?: TlsIdentity) {
    this.#identity = identity;
  }

  /** Whether a primary of this process has an embedded broker. */
  get isOpen(): boolean {
    return this.#server !== undefined;
  }

  readonly handle = (connection: Duplex): void => {
    if (this.#server === undefined) connection.destroy();
    else this.#server.handle(connection);
  };

  /** The limits and the address of the first view count. AppError `conflict`: the port cannot be opened. */
  open(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
    return this.#inTurn(async () => {
      const server = (this.#server ??= await start(options, this.#identity));
      // A copy: the clients of a closed view stay without rights if the same options open another one.
      const tenant: BrokerTenant = { ...options };
      server.attach(tenant);
      this.#views++;
      let closed: Promise<void> | undefined;
      return {
        get clients() {
          return server.clientsOf(tenant);
        },
        name: embeddedBroker,
        connected: true,
        window: brokerWindowMax,
        handle: this.handle,
        onConnect: (listener) => listener(),
        get hasNextReaders() {
          return server.hasSubscribers(tenant.topics.next);
        },
        async publish(topic, payload, { retain }) {
          if (closed !== undefined) throw new Error("the broker is closed");
          return retain ? server.retain(topic, payload) : server.send(topic, payload);
        },
        close: () => (closed ??= this.#inTurn(() => this.#close(server, tenant))),
      };
    });
  }

  async #close(server: BrokerServer, tenant: BrokerTenant): Promise<void> {
    await server.detach(tenant);
    if (--this.#views > 0) return;
    this.#server = undefined;
    await server.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

async function start(
  { limits, hostname, port }: EmbeddedBrokerOptions,
  identity: TlsIdentity | undefined,
): Promise<BrokerServer> {
  const server = await BrokerServer.start(limits);
  try {
    if (port !== 0) await server.listen(hostname, port, identity);
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}
