/**
 * A network for machines where this process may not make namespaces: all hosts are on loopback, and connections go
 * through a proxy in this process. A link is cut by keeping the bytes in its proxies. Unlike with a real cable, the
 * proxy accepts a connection even if there is no listener behind it, and then closes it.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { isBroker, isMember, isNode, type Host, type Network, type Side } from "./network.ts";

const unable = (): Promise<never> => Promise.reject(new Error("proxies cut no two hosts from each other"));

/** `hosts` has all hosts of the cluster. */
export async function openProxies(hosts: readonly Host[]): Promise<Network> {
  const ports = new Map<Host, number>();
  for (const host of hosts) ports.set(host, await freePort());
  const proxies = new Map<string, Proxy>();
  const cutEnds = new Set<string>();
  for (const [from, to] of links(hosts)) {
    const ends = from === "clients" ? [endOf(to, "clients")] : [endOf(from, "cluster"), endOf(to, "cluster")];
    proxies.set(`${from} ${to}`, await Proxy.open(must(ports.get(to)), ends));
  }
  const settle = (): void => {
    for (const proxy of proxies.values()) proxy.held = proxy.ends.some((end) => cutEnds.has(end));
  };
  return {
    kind: "proxies",
    place: (host) => ({ through: [], listen: "127.0.0.1", address: "127.0.0.1", port: must(ports.get(host)) }),
    address: (from, to) =>
      `127.0.0.1:${must(proxies.get(`${from} ${to}`), `there is no link from ${from} to ${to}`).port}`,
    async cut(host, side) {
      cutEnds.add(endOf(host, side));
      settle();
    },
    async mend(host, side) {
      cutEnds.delete(endOf(host, side));
      settle();
    },
    cutBetween: unable,
    mendBetween: unable,
    async close() {
      await Promise.all([...proxies.values()].map((proxy) => proxy.close()));
    },
  };
}

/** The two ends of a link. */
function links(hosts: readonly Host[]): (readonly [Host | "clients", Host])[] {
  const nodes = hosts.filter(isNode);
  const brokers = hosts.filter(isBroker);
  const leaders = nodes.filter((host) => host === "primary" || isMember(host));
  return [
    ...nodes.map((node) => ["clients", node] as const),
    ...nodes.flatMap((node) => leaders.filter((leader) => leader !== node).map((leader) => [node, leader] as const)),
    ...nodes.flatMap((node) => brokers.map((broker) => [node, broker] as const)),
  ];
}

const endOf = (host: Host, side: Side): string => `${host} ${side}`;

class Proxy {
  readonly ends: readonly string[];
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #sockets = new Set<Socket>();
  /** Runs when the link is repaired. */
  readonly #later: (() => void)[] = [];
  #held = false;

  private constructor(server: Server, targetPort: number, ends: readonly string[]) {
    this.ends = ends;
    this.#server = server;
    this.#targetPort = targetPort;
    server.on("connection", (socket: Socket) => this.#connected(socket));
  }

  static async open(targetPort: number, ends: readonly string[]): Promise<Proxy> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Proxy(server, targetPort, ends);
  }

  get port(): number {
    return (this.#server.address() as { readonly port: number }).port;
  }

  get held(): boolean {
    return this.#held;
  }

  set held(held: boolean) {
    if (held === this.#held) return;
    this.#held = held;
    if (held) for (const socket of this.#sockets) socket.pause();
    else for (const act of this.#later.splice(0)) act();
    if (!held) for (const socket of this.#sockets) socket.resume();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #connected(near: Socket): void {
    this.#when(() => {
      const far = connect({ port: this.#targetPort, host: "127.0.0.1", allowHalfOpen: true });
      this.#join(near, far);
      this.#join(far, near);
      near.resume();
    });
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on("data", (bytes) => {
      if (to.write(bytes)) return;
      from.pause();
      to.once("drain", () => this.#when(() => from.resume()));
    });
    from.on("end", () => this.#when(() => to.end()));
    from.on("error", () => undefined);
    from.on("close", () => {
      this.#sockets.delete(from);
      this.#when(() => to.destroy());
    });
  }

  /** Immediately, or when the link is repaired. */
  #when(act: () => void): void {
    if (this.#held) this.#later.push(act);
    else act();
  }
}
