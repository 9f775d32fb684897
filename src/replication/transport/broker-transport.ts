/** Where the primary's batches and heads go: the embedded broker in the same process, or a connection to an external one. */
export interface BrokerTransport {
  /** `host:port` of the broker, or `embedded`. */
  readonly name: string;
  readonly connected: boolean;
  /** How many messages may be under way at once without any being queued or dropped. */
  readonly window: number;
  /** Called for each connection that is made, and at once where there is one already. */
  onConnect(listener: () => void): void;
  /** Resolves when the broker has taken the message. Callers look at `connected` first: nothing is ever queued here. */
  publish(topic: string, payload: string, options: { readonly qos: 0 | 1; readonly retain: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** More than this at once makes brokers with default limits lose messages even to healthy subscribers (measured at 100; none at 8). */
export const windowMax = 8;
