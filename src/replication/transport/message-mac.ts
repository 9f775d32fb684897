/**
 * The message authentication code (MAC) of messages over a broker. Only nodes with the node key can make it. Without
 * it, anyone who may publish because of a mistake in the broker's access list could add events that edges apply (the
 * chain hash is not secret for readers of the event stream), or claim that there is another primary. The MAC covers the
 * topic, so the status of one node is not valid for another.
 *
 * It is the last member of the JSON object: `…,"m":"<32 hex digits>"}`, an HMAC over the topic and what is before it.
 */
import { hmacWith } from "../../runtime/sha256.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { isAccepted } from "../identity.ts";
import type { BrokerTransport } from "./broker-transport.ts";

const log = getLogger("message-mac");

export interface MessageMac {
  /** Appends the MAC to `json`, which is an object with members. */
  sign(topic: string, json: string): string;
  /** Whether a node of this environment sent the message to this topic. */
  verify(topic: string, payload: Uint8Array): boolean;
}

const macHexDigits = 32;
const warningIntervalMs = 60_000;
const memberStart = ',"m":"';
const memberEnd = '"}';
const suffixBytes = memberStart.length + macHexDigits + memberEnd.length;

/** Signs with the first key, and verifies with each. A primary stores the hash of its key, other nodes compute it. */
export function createMessageMac(nodeKeyHashes: NodeKeyHashes): MessageMac {
  const [first, ...others] = nodeKeyHashes;
  const signed = macUnder(first);
  const all = [signed, ...others.map(macUnder)];
  return {
    sign(topic, json) {
      const body = json.slice(0, -1);
      return `${body}${signed(topic, body)}`;
    },
    verify(topic, payload) {
      const split = payload.byteLength - suffixBytes;
      if (split <= 0) return false;
      const body = payload.subarray(0, split);
      const expected = all.map((mac) => Buffer.from(mac(topic, body)));
      return isAccepted(payload.subarray(split), expected, "message");
    },
  };
}

/** Makes the end of a message: its last member, and the closing brace. */
function macUnder(nodeKeyHash: string): (topic: string, body: string | Uint8Array) => string {
  // A separate key, so that this MAC is valid nowhere else.
  const key = hmacWith(Buffer.from(nodeKeyHash, "hex"))("ostiary feed 1");
  const hmac = hmacWith(Buffer.from(key, "hex"));
  return (topic, body) => `${memberStart}${hmac(`${topic}\0`, body).slice(0, macHexDigits)}${memberEnd}`;
}

export function withMac(transport: BrokerTransport, mac: MessageMac): BrokerTransport {
  return {
    name: transport.name,
    get connected() {
      return transport.connected;
    },
    get window() {
      return transport.window;
    },
    get hasNextReaders() {
      return transport.hasNextReaders ?? false;
    },
    onConnect: (listener) => transport.onConnect(listener),
    publish: (topic, payload, options) => transport.publish(topic, mac.sign(topic, payload), options),
    close: () => transport.close(),
  };
}

/** Returns a function that verifies a message. Refused messages are counted, and logged from time to time. */
export function createMacVerifier(mac: MessageMac): (broker: string, topic: string, payload: Uint8Array) => boolean {
  const warnings = rateLimiter(warningIntervalMs);
  return (broker, topic, payload) => {
    if (mac.verify(topic, payload)) return true;
    metrics.brokerMessagesRejected.inc();
    if (warnings() === 0) return false;
    log.error(
      "a client without this environment's node key publishes to {topic} at {broker}, the message is ignored: check in the broker's access list who may write there, and that all nodes have the same node key, or both while it is replaced",
      { topic, broker },
    );
    return false;
  };
}
