/** What a primary finds at an external broker before it connects to it as one: the head that the broker has kept, and heads of a primary that is alive. */
import { randomBytes } from "node:crypto";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { BrokerConnection, brokerTls } from "../transport/broker-connection.ts";
import { decodeHead, type Head } from "../transport/messages.ts";
import { createMessageMac } from "../transport/message-mac.ts";
import { topicsOf } from "../transport/topics.ts";
import type { System } from "../system.ts";

export interface BrokerHeads {
  /** The last head that a primary has left there. */
  readonly retained: Head | undefined;
  /** One of a primary that published two while this node listened. A broker may bring a single one late. */
  readonly live: Head | undefined;
}

/** A broker that can't be reached delays a start by no more than this. */
const readTimeoutMs = 4000;
/** A broker sends what it has kept right after a subscription. */
const retainedWaitMs = 500;

export function externalBrokerUrls({ broker }: Config): readonly string[] {
  return broker.filter((url) => url !== embeddedBroker);
}

/**
 * Listens at a broker for `liveWaitMs` after it has sent a retained head, and as long again after a head that is not. Where there is none, no primary
 * can be alive there.
 */
export async function readBrokerHeads(
  url: string,
  config: Config,
  nodeKeyHash: string,
  liveWaitMs: number,
  system: System,
): Promise<BrokerHeads> {
  const { environment, topicPrefix, brokerUsername: username, brokerPassword: password, limits } = config;
  const { head: topic } = topicsOf(topicPrefix, environment);
  const seal = createMessageMac(nodeKeyHash);
  // Not the name of a primary: one that runs would be disconnected.
  const clientId = `ostiary-look-${randomBytes(4).toString("hex")}`;
  const { brokerConnectTimeoutMs: connectTimeoutMs, brokerKeepaliveMs: keepaliveMs } = limits;
  const link = new BrokerConnection(
    { ...brokerTls(config), url, clientId, username, password, connectTimeoutMs, keepaliveMs, ownership: false },
    system,
  );
  let retained: Head | undefined;
  let heard: Head | undefined;
  const { clock } = system;
  try {
    return await new Promise<BrokerHeads>((resolve) => {
      const end = (live?: Head): void => resolve({ retained, live });
      let cancel = clock.after(readTimeoutMs, end);
      const waitFor = (waitMs: number): void => {
        cancel();
        cancel = clock.after(waitMs, end);
      };
      link.onMessage((at, payload, isRetained) => {
        const decoded = at === topic && seal.verify(topic, payload) ? decodeHead(payload) : undefined;
        const head = decoded !== undefined && "message" in decoded ? decoded.message : undefined;
        if (head?.s !== environment) return;
        if (!isRetained && heard !== undefined && isSuccessorHead(heard, head)) return end(head);
        if (isRetained) retained = head;
        else heard = head;
        waitFor(liveWaitMs);
      });
      link.onConnect(() => {
        link.subscribe([topic]).then(
          () => clock.after(retainedWaitMs, () => retained ?? end()),
          () => end(),
        );
      });
      link.start();
    });
  } finally {
    await link.close();
  }
}

/** Whether one process published both, one after the other. Those of earlier versions have no numbers. */
function isSuccessorHead(first: Head, second: Head): boolean {
  return first.i === second.i && (second.q ?? second.t) > (first.q ?? first.t);
}
