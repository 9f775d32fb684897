/** The network between two nodes: a TCP proxy that can be broken and repaired. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

export interface BreakableProxy extends AsyncDisposable {
  /** The address that leads to the target. */
  readonly url: string;
  /** Ends all connections, and each new one immediately. */
  cut(): void;
  mend(): void;
}

export async function openBreakableProxy(target: string): Promise<BreakableProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let whole = true;
  const listener = createServer((near) => {
    if (!whole) return near.destroy();
    const far = connect(Number(port), hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => (sockets.delete(one), other.destroy()));
      one.pipe(other);
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const endAll = (): void => sockets.forEach((socket) => socket.destroy());
  return {
    url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    cut() {
      whole = false;
      endAll();
    },
    mend: () => void (whole = true),
    async [Symbol.asyncDispose]() {
      endAll();
      listener.close();
      await once(listener, "close");
    },
  };
}
