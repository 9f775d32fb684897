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
import type { Outlet } from "./outlet.ts";

const log = getLogger("seal");

export interface Seal {
  /** `json` is an object with members. */
  put(topic: string, json: string): string;
  /** Whether the message comes from a node of this environment, and from that topic. */
  fits(topic: string, payload: Uint8Array): boolean;
}

const hexDigits = 32;
const complaintIntervalMs = 60_000;
const opening = ',"m":"';
const closing = '"}';
const tailBytes = opening.length + hexDigits + closing.length;

/** `nodeKeyHash` is what a primary keeps of the node key, and what everybody else can make of it. */
export function sealWith(nodeKeyHash: string): Seal {
  // A key of its own: what seals the feed is of no use elsewhere.
  const key = hmacWith(Buffer.from(nodeKeyHash, "hex"))("ostiary feed 1");
  const hmac = hmacWith(Buffer.from(key, "hex"));
  const mark = (topic: string, body: string | Uint8Array): string => hmac(`${topic}\0`, body).slice(0, hexDigits);
  return {
    put(topic, json) {
      const body = json.slice(0, -1);
      return `${body}${opening}${mark(topic, body)}${closing}`;
    },
    fits(topic, payload) {
      const split = payload.byteLength - tailBytes;
      if (split <= 0) return false;
      const given = Buffer.from(payload.subarray(split));
      return timingSafeEqual(given, Buffer.from(`${opening}${mark(topic, payload.subarray(0, split))}${closing}`));
    },
  };
}

/** Seals all that is published. */
export function sealed(outlet: Outlet, seal: Seal): Outlet {
  return {
    name: outlet.name,
    get connected() {
      return outlet.connected;
    },
    get window() {
      return outlet.window;
    },
    onConnect: (listener) => outlet.onConnect(listener),
    publish: (topic, payload, options) => outlet.publish(topic, seal.put(topic, payload), options),
    close: () => outlet.close(),
  };
}

/** Tells whether a message may be believed. What may not is counted, and now and then the log says what is to be done. */
export function watchSeals(seal: Seal): (broker: string, topic: string, payload: Uint8Array) => boolean {
  let complainedAtMs = Number.NEGATIVE_INFINITY;
  return (broker, topic, payload) => {
    if (seal.fits(topic, payload)) return true;
    metrics.feedRefused.inc();
    const now = performance.now();
    if (now - complainedAtMs < complaintIntervalMs) return false;
    complainedAtMs = now;
    log.error(
      "somebody without this environment's node key publishes to {topic} at {broker}, it is ignored: check the access list of the broker (who may write there?), and that all nodes have the same node key",
      { topic, broker },
    );
    return false;
  };
}
