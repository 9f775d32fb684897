/**
 * Connections that have yet to prove who they are, with a quota. A further one replaces the oldest of the address that
 * has the most. So a flood from one address ends only its own connections, however fast it is.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { networkOf } from "../../util/networks.ts";

export class WaitingConnections<Connection extends Duplex> {
  readonly #max: number;
  readonly #networks = new Map<string, Set<Connection>>();
  readonly #networkOf = new Map<Connection, string>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Until it is closed or deleted. */
  add(connection: Connection): void {
    // WebSockets do not tell theirs, and count as one.
    const { remoteAddress = "" } = connection as Partial<Pick<Socket, "remoteAddress">>;
    const network = networkOf(remoteAddress);
    const same = this.#networks.get(network) ?? new Set();
    this.#networks.set(network, same.add(connection));
    this.#networkOf.set(connection, network);
    connection.once("close", () => this.delete(connection));
    if (this.#networkOf.size <= this.#max) return;
    // Of several, the one that came first.
    const most = [...this.#networks.values()].reduce((most, each) => (each.size > most.size ? each : most));
    const [oldest] = most;
    if (oldest === undefined) return;
    this.delete(oldest);
    oldest.destroy();
  }

  /** Whether it was waiting. */
  delete(connection: Connection): boolean {
    const network = this.#networkOf.get(connection);
    if (network === undefined) return false;
    this.#networkOf.delete(connection);
    const same = this.#networks.get(network);
    same?.delete(connection);
    if (same?.size === 0) this.#networks.delete(network);
    return true;
  }

  [Symbol.iterator](): Iterator<Connection> {
    return this.#networkOf.keys();
  }
}
