/**
 * What nodes say over a broker carries a seal that only who has the node key can make. A broker decides by its access list who may publish, and that
 * list is written by people: without a seal whoever may publish by mistake could add events that edges apply (the chain hash is no secret to who
 * reads the feed), or say that another primary is there. The seal is bound to the topic, so one node's status is not another's.
 *
 * It is the last member of the JSON object: `…,"m":"<32 hex digits>"}`, an HMAC over the topic and all that stands before it.
 */
import { timingSafeEqual } from "node:crypto";
import { hmacWith } from "../../runtime/sha256.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { BrokerTransport } from "./broker-transport.ts";

const log = getLogger("seal");

export interface MessageMac {
  /** `json` is an object with members. */
  sign(topic: string, json: string): string;
  /** Whether the message comes from a node of this environment, and from that topic. */
  verify(topic: string, payload: Uint8Array): boolean;
}

const macHexDigits = 32;
const warningIntervalMs = 60_000;
const memberStart = ',"m":"';
const memberEnd = '"}';
const suffixBytes = memberStart.length + macHexDigits + memberEnd.length;

/** `nodeKeyHash` is what a primary keeps of the node key, and what everybody else can make of it. */
export function createMessageMac(nodeKeyHash: string): MessageMac {
  // A key of its own: what seals the feed is of no use elsewhere.
  const key = hmacWith(Buffer.from(nodeKeyHash, "hex"))("ostiary feed 1");
  const hmac = hmacWith(Buffer.from(key, "hex"));
  const mark = (topic: string, body: string | Uint8Array): string => hmac(`${topic}\0`, body).slice(0, macHexDigits);
  return {
    sign(topic, json) {
      const body = json.slice(0, -1);
      return `${body}${memberStart}${mark(topic, body)}${memberEnd}`;
    },
    verify(topic, payload) {
      const split = payload.byteLength - suffixBytes;
      if (split <= 0) return false;
      const given = Buffer.from(payload.subarray(split));
      return timingSafeEqual(
        given,
        Buffer.from(`${memberStart}${mark(topic, payload.subarray(0, split))}${memberEnd}`),
      );
    },
  };
}

/** Seals all that is published. */
export function withMac(outlet: BrokerTransport, seal: MessageMac): BrokerTransport {
  return {
    name: outlet.name,
    get connected() {
      return outlet.connected;
    },
    get window() {
      return outlet.window;
    },
    onConnect: (listener) => outlet.onConnect(listener),
    publish: (topic, payload, options) => outlet.publish(topic, seal.sign(topic, payload), options),
    close: () => outlet.close(),
  };
}

/** Tells whether a message may be believed. What may not is counted, and now and then the log says what is to be done. */
export function createMacVerifier(seal: MessageMac): (broker: string, topic: string, payload: Uint8Array) => boolean {
  let complainedAtMs = Number.NEGATIVE_INFINITY;
  return (broker, topic, payload) => {
    if (seal.verify(topic, payload)) return true;
    metrics.brokerMessagesRejected.inc();
    const now = performance.now();
    if (now - complainedAtMs < warningIntervalMs) return false;
    complainedAtMs = now;
    log.error(
      "somebody without this environment's node key publishes to {topic} at {broker}, it is ignored: check the access list of the broker (who may write there?), and that all nodes have the same node key",
      { topic, broker },
    );
    return false;
  };
}
