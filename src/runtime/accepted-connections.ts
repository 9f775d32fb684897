/**
 * Lists accepted TCP connections by their file descriptors, and can end single ones. An HTTP server of the
 * runtime only shows connections that have a request, so a client that connects and sends nothing is invisible, has no time
 * limit, and takes a file descriptor.
 *
 * The code calls libc, so it works only on Linux. A `node:net` server in front of the HTTP server would work everywhere,
 * but every byte of every request would pass through JavaScript. This costs nothing until it is called.
 */
import { closeSync, openSync, readdirSync } from "node:fs";
import { platform } from "#platform";
import type { Libc } from "./platform.ts";

export interface AcceptedConnection {
  readonly descriptor: number;
  /** The client's address. */
  readonly address: string;
  readonly port: number;
  readonly family: "ipv4" | "ipv6";
  /** The bytes of responses that this process sent and the client acknowledged. */
  readonly answeredBytes: number;
  /** The bytes that came from the client. */
  readonly receivedBytes: number;
  /** Whether the client has sent bytes after this process last sent some. */
  readonly isWaiting: boolean;
  /** Milliseconds since the last byte, in either direction. */
  readonly idleMs: number;
}

export interface ConnectionTable {
  /** All open connections. */
  accepted(): AcceptedConnection[];
  /** Ends a connection from the last call of `accepted`. The event loop then closes the descriptor. */
  end(connection: AcceptedConnection): void;
}

let libc: Libc | undefined;

/** Undefined on all systems but Linux. */
function openLibc(): Libc | undefined {
  if (process.platform !== "linux") return undefined;
  libc ??= platform.openLibc(["libc.so.6", `libc.musl-${process.arch === "x64" ? "x86_64" : "aarch64"}.so.1`]);
  return libc;
}

/**
 * The connections that this process accepted on a port. Undefined on all systems but Linux. `handshakeBytes` says how
 * many bytes a connection gets before its first response.
 */
export function connectionTable(port: number, handshakeBytes = (): number => 0): ConnectionTable | undefined {
  const opened = openLibc();
  // Read now, because later there may be no descriptor left for it.
  const descriptorsMax = descriptorLimit() ?? 0;
  return (
    opened && {
      accepted: () => accepted(opened, port, openDescriptors(descriptorsMax), handshakeBytes()),
      end: ({ descriptor }) => void opened.shutdown(descriptor, 2),
    }
  );
}

/** The connections of several tables. Undefined if one is. */
export function joinedTables(tables: readonly (ConnectionTable | undefined)[]): ConnectionTable | undefined {
  const known = tables.filter((table) => table !== undefined);
  const [first] = known;
  if (first === undefined || known.length < tables.length) return undefined;
  return { accepted: () => known.flatMap((table) => table.accepted()), end: (connection) => first.end(connection) };
}

/**
 * If two sockets of this process listen on the port (SO_REUSEPORT), all new connections go to the second one from now
 * on. Otherwise the kernel distributes them, and closing a socket resets the connections that wait in its queue. Call
 * it before the second one listens. Without effect on all systems but Linux.
 */
export function preferSecondListener(port: number): void {
  const opened = openLibc();
  if (opened === undefined) return;
  for (const descriptor of openDescriptors(0)) {
    length[0] = address.length;
    if (opened.getsockname(descriptor, address, length) !== 0 || portIn(address) !== port) continue;
    const isListening = new Uint8Array(4);
    length[0] = isListening.length;
    if (opened.getsockopt(descriptor, solSocket, soAcceptConn, isListening, length) !== 0 || isListening[0] !== 1)
      continue;
    const program = new Uint8Array(new BigUint64Array([1n, opened.addressOf(secondSocket)]).buffer);
    opened.setsockopt(descriptor, solSocket, soAttachReuseportCbpf, program, program.length);
    return;
  }
}

/** The limit of open descriptors of this process; undefined if there is none, or it cannot be read. */
export function descriptorLimit(): number | undefined {
  const limits = new BigUint64Array(2);
  const [soft] = openLibc()?.getrlimit(rlimitNofile, limits) === 0 ? limits : [];
  return soft === undefined || soft > Number.MAX_SAFE_INTEGER ? undefined : Number(soft);
}

/**
 * The lowest free descriptor. That is the number of descriptors in use, unless one below was closed. Undefined if none
 * is free. Takes two system calls, independent of the number of connections.
 */
export function lowestFreeDescriptor(): number | undefined {
  try {
    const descriptor = openSync("/dev/null", "r");
    closeSync(descriptor);
    return descriptor;
  } catch {
    return undefined;
  }
}

const [afInet, afInet6, ipprotoTcp, tcpInfo, rlimitNofile] = [2, 10, 6, 11, 7];
const [solSocket, soAcceptConn, soAttachReuseportCbpf, bpfReturn] = [1, 30, 51, 6];
/**
 * Offsets in `struct tcp_info` (linux/tcp.h): ms since the last byte in either direction, bytes acknowledged by the
 * peer, bytes received.
 */
const [lastDataSent, lastDataReceived, bytesAcked, bytesReceived] = [44, 52, 120, 128];

/**
 * A BPF program of one instruction: it returns the index of a socket among those that listen on the port. While there is
 * no such socket, the kernel distributes.
 */
const secondSocket = new Uint8Array(new Uint32Array([bpfReturn, 1]).buffer);

const address = new Uint8Array(128);
const info = new Uint8Array(256);
const length = new Uint32Array(1);
const infoView = new DataView(info.buffer);

function accepted(
  libc: Libc,
  port: number,
  descriptors: Iterable<number>,
  handshakeBytes: number,
): AcceptedConnection[] {
  const found: AcceptedConnection[] = [];
  for (const descriptor of descriptors) {
    length[0] = address.length;
    if (libc.getsockname(descriptor, address, length) !== 0 || portIn(address) !== port) continue;
    length[0] = address.length;
    // Fails for the listener and for ended connections.
    if (libc.getpeername(descriptor, address, length) !== 0) continue;
    const peer = addressIn(address);
    length[0] = info.length;
    if (peer === undefined || libc.getsockopt(descriptor, ipprotoTcp, tcpInfo, info, length) !== 0) continue;
    const [sentMs, receivedMs] = [infoView.getUint32(lastDataSent, true), infoView.getUint32(lastDataReceived, true)];
    const receivedBytes = Number(infoView.getBigUint64(bytesReceived, true));
    const answeredBytes = Math.max(0, Number(infoView.getBigUint64(bytesAcked, true)) - handshakeBytes);
    const [isWaiting, idleMs] = [receivedMs < sentMs, Math.min(sentMs, receivedMs)];
    found.push({ descriptor, ...peer, port: portIn(address) ?? 0, answeredBytes, receivedBytes, isWaiting, idleMs });
  }
  return found;
}

/** If no descriptor is left to read the list, all possible descriptors. */
function openDescriptors(descriptorsMax: number): Iterable<number> {
  try {
    return readdirSync("/proc/self/fd").map(Number);
  } catch {
    return Array.from({ length: descriptorsMax }, (_, descriptor) => descriptor);
  }
}

function familyIn(bytes: Uint8Array): number {
  return (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
}

/** The port of a `sockaddr_in` or `sockaddr_in6`; undefined for an address of another family. */
function portIn(bytes: Uint8Array): number | undefined {
  const family = familyIn(bytes);
  return family === afInet || family === afInet6 ? ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0) : undefined;
}

function addressIn(bytes: Uint8Array): Pick<AcceptedConnection, "address" | "family"> | undefined {
  const family = familyIn(bytes);
  if (family === afInet) return { address: bytes.subarray(4, 8).join("."), family: "ipv4" };
  if (family !== afInet6) return undefined;
  const six = bytes.subarray(8, 24);
  const isMapped = six.subarray(0, 10).every((byte) => byte === 0) && six[10] === 0xff && six[11] === 0xff;
  if (isMapped) return { address: six.subarray(12).join("."), family: "ipv4" };
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((six[at * 2] ?? 0) << 8) | (six[at * 2 + 1] ?? 0)).toString(16),
  );
  return { address: groups.join(":"), family: "ipv6" };
}
