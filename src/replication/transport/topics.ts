/**
 * The MQTT topics. There is exactly one topic for events, because brokers keep the order only within one
 * subscription at one QoS. Events are published at QoS 1 at external brokers (the acknowledgement is the primary's flow
 * control), and subscribed to at QoS 0. All other messages use QoS 0.
 */
export interface Topics {
  /** Batches of events. Only the primary writes them. */
  readonly events: string;
  /** The head of the primary: retained, published each second. */
  readonly head: string;
  /** Events that the primary is about to commit, at the embedded broker only. Edges prepare them. */
  readonly next: string;
  /** The status of one node: retained, and its will. An edge may write to no other topic. */
  status(nodeId: string): string;
}

export function topicsOf(prefix: string, environment: string): Topics {
  const base = `${prefix}/${environment}`;
  return {
    events: `${base}/ev`,
    head: `${base}/head`,
    next: `${base}/next`,
    status: (nodeId) => `${base}/node/${nodeId}`,
  };
}
