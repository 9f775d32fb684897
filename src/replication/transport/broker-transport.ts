/** Publishes batches and heads of the primary: the embedded broker, or a connection to an external broker. */
export interface BrokerTransport {
  /** `host:port` of the broker, or `embedded`. */
  readonly name: string;
  readonly connected: boolean;
  /** How many messages may be unacknowledged at the same time without any being queued or dropped. */
  readonly window: number;
  /** Whether a node wants to know of events before they are committed. At external brokers none does. */
  readonly hasNextReaders?: boolean;
  /** Calls the listener for each new connection, and immediately if there is one already. */
  onConnect(listener: () => void): void;
  /** Resolves when the broker has accepted the message. Nothing is ever queued: callers check `connected` first. */
  publish(topic: string, payload: string, options: { readonly qos: 0 | 1; readonly retain: boolean }): Promise<void>;
  close(): Promise<void>;
}
