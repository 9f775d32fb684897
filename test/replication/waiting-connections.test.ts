/** The quota of connections that have not logged in, and what counts as one client address. */
import { expect, test } from "bun:test";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { WaitingConnections } from "../../src/replication/transport/waiting-connections.ts";
import { networkOf } from "../../src/util/networks.ts";

const connection = (remoteAddress?: string): Duplex =>
  Object.assign(new Duplex({ read() {} }), remoteAddress === undefined ? {} : { remoteAddress });

test("a further connection replaces the oldest of the address that has the most", () => {
  const waiting = new WaitingConnections(4);
  const [slow, webSocket] = [connection("192.0.2.1"), connection()];
  const flood = Array.from({ length: 10 }, (_, at) => connection(`2001:db8::${at}`));
  for (const each of [slow, webSocket, ...flood]) waiting.add(each);
  expect([...waiting]).toEqual([slow, webSocket, ...flood.slice(-2)]);
  expect(flood.map(({ destroyed }) => destroyed)).toEqual([...Array(8).fill(true), false, false]);
});

test("if all addresses have as many, it replaces the oldest of all", () => {
  const waiting = new WaitingConnections(2);
  const all = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(connection);
  for (const each of all) waiting.add(each);
  expect(all.map(({ destroyed }) => destroyed)).toEqual([true, false, false]);
});

test("a connection that is closed or deleted counts no more", async () => {
  const waiting = new WaitingConnections(2);
  const [closed, known, third, fourth] = Array.from({ length: 4 }, () => connection("192.0.2.1"));
  if (!closed || !known || !third || !fourth) throw new Error("four connections");
  waiting.add(closed);
  waiting.add(known);
  closed.destroy();
  await once(closed, "close");
  expect([waiting.delete(known), waiting.delete(known), waiting.delete(closed)]).toEqual([true, false, false]);
  waiting.add(third);
  waiting.add(fourth);
  expect([known, third, fourth].map(({ destroyed }) => destroyed)).toEqual([false, false, false]);
});

test("a client has an IPv4 address or a /64 of IPv6, however it is written", () => {
  for (const [address, network] of [
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["2001:db8:0:1::7", "2001:db8:0:1"],
    ["2001:DB8:0:1:0:0:0:8", "2001:db8:0:1"],
    ["2001:db8::1:0:0:0:9", "2001:db8:0:1"],
    ["::1", "0:0:0:0"],
    ["2001:db8::", "2001:db8:0:0"],
    ["fe80::1%eth0", "fe80:0:0:0"],
    ["", ""],
  ] as const)
    expect([address, networkOf(address)]).toEqual([address, network]);
});
