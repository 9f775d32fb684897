/**
 * Accepted TCP connections, as the operating system knows them. `Bun.serve` only shows connections that have a request, so a client that connects and
 * stays silent is invisible, has no time limit, and costs a file descriptor. This finds all of them by their descriptors and can end single ones.
 *
 * It calls libc, which is why it works on Linux alone. A `node:net` server in front of `Bun.serve` would work everywhere, but every byte of every
 * request would pass through JavaScript; this costs nothing until somebody asks.
 */
import { dlopen, ptr } from "bun:ffi";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";

export interface AcceptedConnection {
  readonly descriptor: number;
  /** The client's address. */
  readonly address: string;
  readonly family: "ipv4" | "ipv6";
  /** How much of what this process sent the client has acknowledged, in bytes. */
  readonly answeredBytes: number;
  /** How much has come from the client, in bytes. */
  readonly receivedBytes: number;
  /** Whether the client has sent something since it was last sent something. */
  readonly isWaiting: boolean;
  /** Milliseconds since the last byte, in either direction. */
  readonly idleMs: number;
}

export interface ConnectionTable {
  /** All connections that are open. */
  accepted(): AcceptedConnection[];
  /** Ends a connection of the last `accepted`. The event loop sees it closed; the descriptor is free a moment later. */
  end(connection: AcceptedConnection): void;
}

/** The connections that were accepted on this port of this process. Undefined where the system does not show them: everywhere but on Linux. */
export function connectionTable(port: number): ConnectionTable | undefined {
  if (process.platform !== "linux") return undefined;
  const libc = openLibc();
  // Read now: later there may be no descriptor left to read it with.
  const descriptorsMax = descriptorLimit() ?? 0;
  return (
    libc && {
      accepted: () => accepted(libc, port, openDescriptors(descriptorsMax)),
      end: ({ descriptor }) => void libc.shutdown(descriptor, 2),
    }
  );
}

/** How many descriptors this process may have open; undefined where there is no limit, or none that can be read. */
export function descriptorLimit(): number | undefined {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return line?.[1] === undefined ? undefined : Number(line[1]);
  } catch {
    return undefined;
  }
}

/**
 * The lowest descriptor that is free, which is the number of those in use where none below was closed; undefined where none is left. Costs two system
 * calls, whatever the number of connections.
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

type Libc = NonNullable<ReturnType<typeof openLibc>>;

function openLibc() {
  for (const name of ["libc.so.6", `libc.musl-${process.arch === "x64" ? "x86_64" : "aarch64"}.so.1`]) {
    try {
      return dlopen(name, {
        getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
        getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
        getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
        shutdown: { args: ["i32", "i32"], returns: "i32" },
      }).symbols;
    } catch {
      // The other C library, then.
    }
  }
  return undefined;
}

const [afInet, afInet6, ipprotoTcp, tcpInfo] = [2, 10, 6, 11];
/** Offsets in `struct tcp_info` (linux/tcp.h): times since the last byte in milliseconds, bytes that the peer has acknowledged, bytes that have come. */
const [lastDataSent, lastDataReceived, bytesAcked, bytesReceived] = [44, 52, 120, 128];

/** Each over a buffer of its own: the runtime moves the bytes of a small array when its buffer is asked for, and pointers would lead nowhere. */
const address = new Uint8Array(new ArrayBuffer(128));
const info = new Uint8Array(new ArrayBuffer(256));
const length = new Uint32Array(new ArrayBuffer(4));
const infoView = new DataView(info.buffer);
const [addressPointer, infoPointer, lengthPointer] = [ptr(address), ptr(info), ptr(length)];

function accepted(libc: Libc, port: number, descriptors: Iterable<number>): AcceptedConnection[] {
  const found: AcceptedConnection[] = [];
  for (const descriptor of descriptors) {
    length[0] = address.length;
    if (libc.getsockname(descriptor, addressPointer, lengthPointer) !== 0 || portIn(address) !== port) continue;
    length[0] = address.length;
    // Fails for the listener itself, and for what is ended already.
    if (libc.getpeername(descriptor, addressPointer, lengthPointer) !== 0) continue;
    const peer = addressIn(address);
    length[0] = info.length;
    if (peer === undefined || libc.getsockopt(descriptor, ipprotoTcp, tcpInfo, infoPointer, lengthPointer) !== 0)
      continue;
    const [sentMs, receivedMs] = [infoView.getUint32(lastDataSent, true), infoView.getUint32(lastDataReceived, true)];
    const receivedBytes = Number(infoView.getBigUint64(bytesReceived, true));
    const answeredBytes = Number(infoView.getBigUint64(bytesAcked, true));
    const [isWaiting, idleMs] = [receivedMs < sentMs, Math.min(sentMs, receivedMs)];
    found.push({ descriptor, ...peer, answeredBytes, receivedBytes, isWaiting, idleMs });
  }
  return found;
}

/** Where no descriptor is left to read the list with, all that there can be. */
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
