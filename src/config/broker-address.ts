/** Where a broker's URL leads. Two URLs may lead to the same place: `mqtt://a` is `mqtt://a:1883`. */

/** In the list of brokers: the one inside the primary. */
export const embeddedBroker = "embedded";

export interface BrokerAddress {
  readonly scheme: "mqtt" | "mqtts" | "ws" | "wss";
  /** An IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
  /** Of WebSockets; `/` otherwise. */
  readonly path: string;
  /** `host:port`, as logs, health and metrics name it. */
  readonly name: string;
}

const defaultPorts = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 } as const;

/** What may stand in the list of brokers: no user and password, since URLs are shown. */
export function isBroker(text: string): boolean {
  return text === embeddedBroker || (/^(?:mqtts?|wss?):\/\/[^\s@,]+$/.test(text) && URL.canParse(text));
}

export function brokerAddress(url: string): BrokerAddress {
  const { protocol, hostname: given, port, pathname } = new URL(url);
  const hostname = given.toLowerCase();
  const scheme = protocol.slice(0, -1) as BrokerAddress["scheme"];
  const number = Number(port) || defaultPorts[scheme];
  return {
    scheme,
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: number,
    path: pathname || "/",
    name: `${hostname}:${number}`,
  };
}
