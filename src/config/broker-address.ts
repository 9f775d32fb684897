/** The address in the URL of a broker. Two URLs can have the same address: `mqtt://a` is `mqtt://a:1883`. */

/** The name of the broker inside the primary in the list of brokers. */
export const embeddedBroker = "embedded";

export interface BrokerAddress {
  readonly scheme: "mqtt" | "mqtts" | "ws" | "wss";
  /** An IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
  /** The path of WebSockets; `/` otherwise. */
  readonly path: string;
  /** `host:port`, for logs, health and metrics. */
  readonly name: string;
}

const defaultPorts = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 } as const;

/** Whether a text is valid in the list of brokers. URLs must not have a user and a password, because they are shown. */
export function isBroker(text: string): boolean {
  return text === embeddedBroker || (/^(?:mqtts?|wss?):\/\/[^\s@,]+$/.test(text) && URL.canParse(text));
}

export function brokerAddress(url: string): BrokerAddress {
  const { protocol, hostname: rawHostname, port, pathname } = new URL(url);
  const hostname = rawHostname.toLowerCase();
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
