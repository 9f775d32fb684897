/**
 * Reads the heads at an external broker before a primary connects there: the retained head, and heads of a primary that
 * is alive.
 */
import { randomBytes } from "node:crypto";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { BrokerConnection, brokerTls } from "../transport/broker-connection.ts";
import { decodeHead, type Head } from "../transport/messages.ts";
import { createMessageMac } from "../transport/message-mac.ts";
import { topicsOf } from "../transport/topics.ts";
import type { System } from "../system.ts";

export interface BrokerHeads {
  /** The last head that a primary has published there. */
  readonly retained: Head | undefined;
  /** The head of a primary that published two heads meanwhile. A single head may have been delayed by the broker. */
  readonly live: Head | undefined;
}

/** An unreachable broker delays a start by at most this time. */
const readTimeoutMs = 4000;
/** A broker sends its retained messages right after a subscription. */
const retainedWaitMs = 500;

export function externalBrokerUrls({ broker }: Config): readonly string[] {
  return broker.filter((url) => url !== embeddedBroker);
}

/** Listens for `liveWaitMs` after each head. Without a retained head, no primary can be alive there. */
export async function readBrokerHeads(
  url: string,
  config: Config,
  nodeKeyHashes: NodeKeyHashes,
  liveWaitMs: number,
  system: System,
): Promise<BrokerHeads> {
  const { environment, topicPrefix, brokerUsername: username, brokerPassword: password, limits } = config;
  const { head: topic } = topicsOf(topicPrefix, environment);
  const mac = createMessageMac(nodeKeyHashes);
  // Not the client id of a primary, since that would disconnect a running primary.
  const clientId = `ostiary-look-${randomBytes(4).toString("hex")}`;
  const { brokerConnectTimeoutMs: connectTimeoutMs, brokerKeepaliveMs: keepaliveMs } = limits;
  const tls = brokerTls(config);
  const connection = new BrokerConnection(
    { tls: () => tls.read(), url, clientId, username, password, connectTimeoutMs, keepaliveMs, ownership: false },
    system,
  );
  let retained: Head | undefined;
  let unconfirmed: Head | undefined;
  const { clock } = system;
  try {
    return await new Promise<BrokerHeads>((resolve) => {
      const end = (live?: Head): void => resolve({ retained, live });
      let cancel = clock.after(readTimeoutMs, end);
      const waitFor = (waitMs: number): void => {
        cancel();
        cancel = clock.after(waitMs, end);
      };
      connection.onMessage((at, payload, isRetained) => {
        const decoded = at === topic && mac.verify(topic, payload) ? decodeHead(payload) : undefined;
        const head = decoded !== undefined && "message" in decoded ? decoded.message : undefined;
        if (head?.s !== environment) return;
        if (!isRetained && unconfirmed !== undefined && isSuccessorHead(unconfirmed, head)) return end(head);
        if (isRetained) retained = head;
        else unconfirmed = head;
        waitFor(liveWaitMs);
      });
      connection.onConnect(() => {
        connection.subscribe([topic]).then(
          () => clock.after(retainedWaitMs, () => retained ?? end()),
          () => end(),
        );
      });
      connection.start();
    });
  } finally {
    await connection.close();
  }
}

/** Whether one process published the heads one after the other. Earlier versions sent no sequence numbers. */
function isSuccessorHead(first: Head, second: Head): boolean {
  return first.i === second.i && (second.q ?? second.t) > (first.q ?? first.t);
}
