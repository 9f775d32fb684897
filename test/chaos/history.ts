/**
 * What clients saw of a cluster: each write and each read, when it began and ended, and what came of it. `check-history.ts` says whether a right
 * cluster could have given these answers.
 *
 * What is written are registers, because of them the truth is cheap to know. The versions of one register are 1, 2, 3, …; each is one fact, and a
 * write replaces the fact of the version before by that of the next, in one batch. So at every moment a register has exactly one version, or
 * none before its first write. It has one writer, who waits for each answer. Where a write gets none, it is sent again until it does, and
 * then this register is left alone: what was sent before may still be under way, and do no harm any more. Registers belong to groups, of which all
 * can be read in one go.
 */

/** What a consistency token names. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

export interface Write {
  readonly register: string;
  readonly group: string;
  readonly version: number;
  /** All times are milliseconds of one clock. This is when it was sent first. */
  readonly startMs: number;
  /** When it was sent last. */
  readonly sentMs: number;
  /** When its answer came; Infinity where none did. */
  readonly endMs: number;
  /** How often it was sent to somebody who may have taken it. */
  readonly sends: number;
  /** Where it was acknowledged: what its answer says of where it stands. Else it may have been done or not. */
  readonly token: Position | undefined;
}

export interface Read {
  readonly startMs: number;
  readonly endMs: number;
  /** Who answered. */
  readonly node: string;
  /** Whether that node may be older than the token. What it says must have been true once all the same. */
  readonly mayBeOld: boolean;
  readonly token: Position | undefined;
  readonly answer: Answer;
}

export type Answer =
  /** The versions that one register, or each of a group, was said to have. */
  | { readonly kind: "register"; readonly register: string; readonly versions: readonly number[] }
  | { readonly kind: "group"; readonly group: string; readonly versions: Versions }
  /** Whether a register was said to have this version. */
  | { readonly kind: "has"; readonly register: string; readonly version: number; readonly has: boolean };

/** By register; those with none may be missing. */
export type Versions = ReadonlyMap<string, readonly number[]>;

/** What one primary wrote from its promotion or start on. */
export interface Epoch {
  readonly epoch: string;
  /** A later epoch has a higher one. */
  readonly term: number;
  /** The last offset of the epoch before. Offsets go on from one epoch to the next. */
  readonly offset: number;
}

export interface History {
  readonly writes: readonly Write[];
  readonly reads: readonly Read[];
  /** Those of the history that all nodes had when all was quiet, oldest first. What is in no epoch of it was lost in a promotion. */
  readonly epochs: readonly Epoch[];
  /** Terms of all epochs that were seen, also of those that did not survive. */
  readonly terms: ReadonlyMap<string, number>;
  /** What each node held when all was quiet. */
  readonly ends: readonly { readonly node: string; readonly versions: Versions }[];
}

/** `OsoOffset`, which is opaque to clients. A check may look into it. */
export function positionOf(token: string): Position {
  const [epoch = "", offset = ""] = token.split(":");
  if (!/^\d+$/.test(offset)) throw new Error(`\`${token}\` is no consistency token`);
  return { epoch, offset: Number(offset) };
}
