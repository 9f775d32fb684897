/** Who may act as the primary: the node that an operator has made the primary, or with `failover` the holder of the lease. */
export interface Leadership {
  /** Whether a lease decides. Then another node may become the primary without an operator. */
  readonly isLeased: boolean;
  /** The term that the lease is for. Without a lease the votes decide. */
  readonly term: number | undefined;
  /** Why the node may not act as the primary now. Undefined while it may. */
  readonly problem: string | undefined;
  /**
   * How long ago this node was known to be the only primary, in ms. Undefined while other primaries are excluded as far
   * as this node can know. Null if the node may not act as the primary.
   */
  readonly ageMs: number | null | undefined;
  /** AppError `not_ready` if the node may not act as the primary now. */
  requireValid(): void;
  /** Resolves when the node may act as the primary. AppError `not_ready` if it may not, and will not soon. */
  waitUntilValid(): Promise<void>;
  /** From now on a primary acts under it. */
  start(primary: LeadingPrimary): void;
  /** Gives it up. With `successor`, only that node may have it until the lease expires. */
  release(successor?: string): Promise<void>;
}

/** What the other nodes say about the term of a primary. */
export interface TermConfirmation {
  /** The number of edges that follow it and have not voted for a later candidate. */
  readonly edges: number;
  /** Whether a node knows of a later term. */
  readonly isSuperseded: boolean;
}

export interface LeadingPrimary {
  readonly confirm: () => Promise<TermConfirmation>;
  /** How many edges must have a write before it is acknowledged; 0 while the term of the primary has not begun. */
  readonly ack: () => number;
  /** Called once, when another node has the lease. */
  readonly onLost: (reason: string) => void;
}

/** The leadership of a primary that only an operator, or its configuration, has made the primary. */
export const staticLeadership: Leadership = {
  isLeased: false,
  term: undefined,
  problem: undefined,
  ageMs: undefined,
  requireValid() {},
  async waitUntilValid() {},
  start() {},
  async release() {},
};
