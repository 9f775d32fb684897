/**
 * The three kinds of topics. There is exactly one topic of events, since brokers keep order only within one subscription at one QoS: events
 * go out at QoS 1 (the acknowledgement is the primary's flow control) and are subscribed to at QoS 0, all others are QoS 0 throughout.
 */
export interface Topics {
  /** Batches of events, written by the primary alone. */
  readonly events: string;
  /** Where the primary stands: retained, each second. */
  readonly head: string;
  /** A node's own status: retained, and its will. The only topic that an edge may write. */
  status(nodeId: string): string;
}

export function topicsOf(prefix: string, environment: string): Topics {
  const base = `${prefix}/${environment}`;
  return {
    events: `${base}/ev`,
    head: `${base}/head`,
    status: (nodeId) => `${base}/node/${nodeId}`,
  };
}
