/**
 * A limit for the TCP connections to a node's API, so that clients cannot use up the file descriptors that the store
 * and other nodes need. Without it, silent connections alone make every open file fail (EMFILE) and keep the listener
 * busy with connections that it cannot accept.
 *
 * The kernel accepts connections before this process can refuse them, so the limit works by closing. Connections that
 * never got a response and wait for nothing are closed first, those of clients that continue to send requests last, and
 * all others by how long they have been silent. A new connection is always accepted, and a health check is always
 * answered.
 */
import type { Config } from "../config/config.ts";
import type { Limits } from "../config/limits.ts";
import {
  descriptorLimit,
  lowestFreeDescriptor,
  type AcceptedConnection,
  type ConnectionTable,
} from "../runtime/accepted-connections.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import type { Clock } from "../util/clock.ts";
import { addressMatcher, networkOf } from "../util/networks.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import { connectionChecks } from "../util/tuning.ts";

const log = getLogger("connections");

const logIntervalMs = 10_000;
/** For the store's files, worker processes, snapshots, and connections to brokers and other nodes. */
const reservedDescriptors = 256;

/** Limits the connections of a listener. Returns the function that stops that. */
export function limitConnections(
  { limits, trustedProxies }: Pick<Config, "limits" | "trustedProxies">,
  table: ConnectionTable | undefined,
  clock: Clock,
): () => void {
  if (table === undefined) {
    log.debug("this system does not list its connections: limit them in front of this node");
    return () => {};
  }
  const max = connectionsMaxWithin(limits, descriptorLimit());
  /** Descriptors that are not connections of this listener: files, connections to brokers and other nodes. */
  let others = lowestFreeDescriptor() ?? 0;
  const isTrustedAddress = addressMatcher(trustedProxies);
  const isTrusted: ConnectionBounds["isTrusted"] = ({ address }) => isTrustedAddress(address);
  const warnings = rateLimiter(logIntervalMs, clock);
  let countAtMs = Number.NEGATIVE_INFINITY;

  const enforce = (lowest: number | undefined): void => {
    const open = table.accepted();
    // Without this, other descriptors beyond the limit would make every check a count.
    if (lowest !== undefined) others = Math.max(0, lowest - open.length);
    // If no descriptor is left, something else uses them too, and the limit is too high for that.
    const bound = lowest === undefined ? Math.min(max, Math.floor(open.length * 0.75)) : max;
    const excess = connectionsToClose(open, { max: bound, addressMax: limits.connectionsPerAddressMax, isTrusted });
    for (const connection of excess) table.end(connection);
    metrics.connections.set(open.length - excess.length);
    if (excess.length === 0) return;
    metrics.connectionsClosed.inc(excess.length);
    if (warnings() > 0)
      log.warning(
        "closed {closed} connections, silent ones first: {open} were open, at most {max} are allowed (`connectionsMax`, `connectionsPerAddressMax`, the process's limit of open files)",
        { closed: excess.length, open: open.length, max },
      );
  };
  const check = (lowest: number | undefined): void => {
    const now = clock.monotonicMs();
    const { countIntervalMs, addressCountIntervalMs } = connectionChecks;
    const intervalMs = limits.connectionsPerAddressMax > 0 ? addressCountIntervalMs : countIntervalMs;
    if (lowest !== undefined && lowest - others <= max && now - countAtMs < intervalMs) return;
    countAtMs = now;
    enforce(lowest);
  };
  let cancel = (): void => {};
  const checkLater = (lowest: number | undefined): void => {
    const room = lowest === undefined ? 0 : max - (lowest - others);
    cancel = clock.after(checkAfterMs(room), () => {
      const now = lowestFreeDescriptor();
      checkLater(now);
      check(now);
    });
  };
  checkLater(lowestFreeDescriptor());
  return () => cancel();
}

/** When to check again, if `room` more connections are allowed. */
function checkAfterMs(room: number): number {
  const { intervalMsMin, intervalMsMax, openedPerSecondMax } = connectionChecks;
  return Math.min(intervalMsMax, Math.max(intervalMsMin, (room / openedPerSecondMax) * 1000));
}

/** How many connections a node accepts that may have `descriptors` open. */
export function connectionsMaxWithin(
  { connectionsMax, brokerConnectionsMax }: Pick<Limits, "connectionsMax" | "brokerConnectionsMax">,
  descriptors: number | undefined,
): number {
  if (descriptors === undefined) return connectionsMax;
  const reserve = Math.min(reservedDescriptors + brokerConnectionsMax, Math.floor(descriptors / 2));
  return Math.min(connectionsMax, descriptors - reserve);
}

export interface ConnectionBounds {
  readonly max: number;
  /** For each client address. 0 means no bound. */
  readonly addressMax: number;
  /** Whether the address is that of a proxy with many clients. */
  readonly isTrusted: (connection: AcceptedConnection) => boolean;
}

/** The connections to close so that the others are within the bounds. */
export function connectionsToClose(
  open: readonly AcceptedConnection[],
  { max, addressMax, isTrusted }: ConnectionBounds,
): AcceptedConnection[] {
  if (open.length <= (addressMax > 0 ? Math.min(max, addressMax) : max)) return [];
  const worstFirst = open.toSorted((a, b) => priorityOf(a) - priorityOf(b) || b.idleMs - a.idleMs);
  const closing = new Set<AcceptedConnection>();
  if (addressMax > 0) {
    for (const same of Map.groupBy(worstFirst, ({ address }) => networkOf(address)).values()) {
      const first = same[0];
      if (first === undefined || isTrusted(first)) continue;
      for (const connection of same.slice(0, Math.max(0, same.length - addressMax))) closing.add(connection);
    }
  }
  const left = worstFirst.filter((connection) => !closing.has(connection));
  const surplus = left.length > max ? left.length - Math.floor(max * connectionChecks.closeDownTo) : 0;
  return [...closing, ...left.slice(0, surplus)];
}

/** About fifteen responses. */
const establishedBytes = 4096;

/**
 * 0 for a connection that never got a response: a client usually sends its request immediately and gets the response
 * within a second, unless the request is expensive. 2 for a client that continues to send requests or waits for another
 * response, so that a node that is slow for a moment does not close the connections of its regular clients. 1 for
 * others.
 */
function priorityOf({ answeredBytes, receivedBytes, isWaiting, idleMs }: AcceptedConnection): number {
  if (answeredBytes === 0) return receivedBytes === 0 || idleMs >= 1000 ? 0 : 1;
  return (isWaiting || answeredBytes >= establishedBytes) && idleMs < 10_000 ? 2 : 1;
}
