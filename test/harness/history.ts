/**
 * The observations of clients: each write and each read, when it began and ended, and its result. `check-history.ts`
 * checks whether a correct cluster could have given these answers.
 *
 * Clients write registers, because their correct state is easy to know. The versions of a register are 1, 2, 3, …; each
 * is one fact, and a write replaces the fact of the previous version by that of the next, in one batch. So at every
 * moment a register has exactly one version, or none before its first write. It has one writer, which waits for each
 * answer. A write without an answer is sent again until there is one, and then this register is not used any more: an
 * earlier attempt may still be in progress, and then does no harm. Registers belong to groups, which can be read with
 * one request.
 */

/** The position in a consistency token. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

export interface Write {
  readonly register: string;
  readonly group: string;
  readonly version: number;
  /** All times are in milliseconds of one clock. This is when it was sent first. */
  readonly startMs: number;
  /** When it was sent last. */
  readonly sentMs: number;
  /** When its answer came; Infinity if there was none. */
  readonly endMs: number;
  /** How often it was sent to a node that may have accepted it. */
  readonly sends: number;
  /** The position in its acknowledgement. Without one, it may have been done or not. */
  readonly token: Position | undefined;
}

export interface Read {
  readonly startMs: number;
  readonly endMs: number;
  /** The node that answered. */
  readonly node: string;
  /** Whether that node may be older than the token. Its answer must still have been true once. */
  readonly mayBeOld: boolean;
  readonly token: Position | undefined;
  readonly answer: Answer;
}

export type Answer =
  /** The versions in the answer, of one register or of each register of a group. */
  | { readonly kind: "register"; readonly register: string; readonly versions: readonly number[] }
  | { readonly kind: "group"; readonly group: string; readonly versions: Versions }
  /** Whether the answer says that a register has this version. */
  | { readonly kind: "has"; readonly register: string; readonly version: number; readonly has: boolean };

/** By register. Registers without a version may be missing. */
export type Versions = ReadonlyMap<string, readonly number[]>;

/** The events that one primary wrote after its promotion or start. */
export interface Epoch {
  readonly epoch: string;
  /** Later epochs have greater terms. */
  readonly term: number;
  /** The last offset of the previous epoch. Offsets continue from one epoch to the next. */
  readonly offset: number;
}

export interface History {
  readonly writes: readonly Write[];
  readonly reads: readonly Read[];
  /** The epochs of the final history of all nodes, oldest first. Writes of other epochs were lost in a failover. */
  readonly epochs: readonly Epoch[];
  /** Terms of all epochs that were seen, including those that did not survive. */
  readonly terms: ReadonlyMap<string, number>;
  /** The registers of each node at the end. */
  readonly ends: readonly { readonly node: string; readonly versions: Versions }[];
}

/** Parses `OsoOffset`, which is opaque to clients, but not to this check. */
export function positionOf(token: string): Position {
  const [epoch = "", offset = ""] = token.split(":");
  if (!/^\d+$/.test(offset)) throw new Error(`\`${token}\` is no consistency token`);
  return { epoch, offset: Number(offset) };
}
