/**
 * Storage failures: a full disk, a read-only file system, a failing device, too few file descriptors. They come from
 * the system, directly or through SQLite. A storage failure does not mean that the data are damaged. Only this file
 * decides what a storage failure is, and describes it.
 */

/** The values of the label `reason` of the metrics. */
export type StorageReason =
  | "full" // no space, or no quota
  | "reserve" // less space than the reserve
  | "share" // a hosted environment has more data than space is left
  | "wal" // the write-ahead log has reached its limit, because readers hold it
  | "read_only"
  | "io" // the device, or the file system on it, fails
  | "descriptors" // the process or the system has too many open files
  | "permission"
  | "unopenable" // SQLite does not say why
  | "replaced"; // the files of the database were deleted or moved, or others are in their place

export interface StorageFailure {
  readonly reason: StorageReason;
  /** The message of the system or SQLite. It may contain paths, so it is for the log only. */
  readonly detail: string;
}

/** A storage failure that this program detects itself. */
export class StorageError extends Error {
  readonly code: keyof typeof ownCodes;

  constructor(code: keyof typeof ownCodes, message: string) {
    super(message);
    this.name = "StorageError";
    this.code = code;
  }
}

const ownCodes = {
  STORE_RESERVE: "reserve",
  STORE_SHARE: "share",
  STORE_WAL: "wal",
  STORE_REPLACED: "replaced",
} as const;

const reasonsOfCodes: Readonly<Record<string, StorageReason>> = {
  ...ownCodes,
  ENOSPC: "full",
  EDQUOT: "full",
  SQLITE_FULL: "full",
  EROFS: "read_only",
  EIO: "io",
  ENXIO: "io",
  ENODEV: "io",
  ESTALE: "io",
  EUCLEAN: "io",
  EMFILE: "descriptors",
  ENFILE: "descriptors",
  EACCES: "permission",
  EPERM: "permission",
  SQLITE_PERM: "permission",
  SQLITE_READONLY_DBMOVED: "replaced",
};

const reasonsOfFamilies: readonly (readonly [prefix: string, reason: StorageReason])[] = [
  ["SQLITE_IOERR", "io"],
  ["SQLITE_READONLY", "read_only"],
  ["SQLITE_CANTOPEN", "unopenable"],
];

/** Codes of SQLite that mean a damaged file. */
const damageCodes = /^SQLITE_(?:CORRUPT|NOTADB|IOERR_(?:SHORT_READ|DATA)$)/;

/** The storage failure in an error or in one of its causes; undefined for other errors. */
export function storageFailureIn(error: unknown): StorageFailure | undefined {
  if (!(error instanceof Error)) return undefined;
  const reason = reasonOfCode((error as { readonly code?: unknown }).code);
  return reason === undefined ? storageFailureIn(error.cause) : { reason, detail: error.message };
}

function reasonOfCode(code: unknown): StorageReason | undefined {
  if (typeof code !== "string" || damageCodes.test(code)) return undefined;
  return reasonsOfCodes[code] ?? reasonsOfFamilies.find(([prefix]) => code.startsWith(prefix))?.[1];
}

/**
 * Whether an error or one of its causes means that a database is damaged: its pages contradict each other, or are
 * missing.
 */
export function isDamage(error: unknown): boolean {
  return damageIn(error) !== undefined;
}

/** SQLite's message about the damage; undefined for other errors. */
export function damageIn(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && damageCodes.test(code) ? error.message : damageIn(error.cause);
}

/** For clients a problem is that of the `node`, for operators it has the path. */
type Where = "node" | { readonly path: string };

const disk = (where: Where): string =>
  where === "node" ? "the disk of this node" : `the disk that holds \`${where.path}\``;

const failureTexts: Readonly<
  Record<StorageReason, { readonly problem: (where: Where) => string; readonly remedy: string }>
> = {
  full: { problem: (where) => `${disk(where)} is full`, remedy: "free space" },
  reserve: {
    problem: (where) => `${disk(where)} has less free space than the reserve (\`diskReserveBytes\`)`,
    remedy: "free space",
  },
  share: {
    problem: (where) =>
      `${disk(where)} has less free space than this environment has data, and the rest is for the other environments`,
    remedy: "delete facts, or free space",
  },
  wal: {
    problem: (where) =>
      `the write-ahead log on ${disk(where)} has reached its limit (\`walBytesMax\`), because readers hold it`,
    remedy: "wait until long reads, such as a backup, have ended",
  },
  read_only: {
    problem: (where) =>
      where === "node"
        ? "the file system of this node is read-only"
        : `the file system of \`${where.path}\` is read-only`,
    remedy: "mount it for writing",
  },
  io: {
    problem: (where) => `${disk(where)} fails with input/output errors`,
    remedy: "check the device and its file system",
  },
  descriptors: {
    problem: () => "too many files and connections are open",
    remedy: "raise the limit of open files (`ulimit -n`, `LimitNOFILE`)",
  },
  permission: {
    problem: (where) =>
      where === "node" ? "this node may not write its data" : `this process may not write \`${where.path}\``,
    remedy: "give the user of the process read and write permission",
  },
  unopenable: {
    problem: (where) => (where === "node" ? "this node cannot open its data" : `\`${where.path}\` cannot be opened`),
    remedy: "check that the directory exists, and that its disk is writable and not full",
  },
  replaced: {
    problem: (where) => {
      const files =
        where === "node" ? "the database files of this node" : `\`${where.path}\` or a file that belongs to it`;
      return `${files} were deleted, moved or replaced while the node runs`;
    },
    remedy:
      "put the files back, or keep the node running and save its data (`ostiary backup --url`), then restore them, or promote an edge; a restart does not bring them back",
  },
};

/** The problem for clients, without paths. */
export function publicStorageProblem(reason: StorageReason): string {
  return failureTexts[reason].problem("node");
}

/** The message for a client whose write was refused. */
export function describeRefusedWrite(reason: StorageReason): string {
  const { problem, remedy } = failureTexts[reason];
  return `${problem("node")}, nothing was written: ${remedy}, then send the write again`;
}

/** The message for a client whose write failed in the commit: it may still have reached the disk. */
export function describeUncertainWrite(reason: StorageReason): string {
  const { problem } = failureTexts[reason];
  return `${problem("node")}, it is unknown whether the write was stored: read the data to find out, or send the write again with the same \`X-Request-ID\`, then it is stored only once`;
}

/** The message for an operator: the problem with its path, how to solve it, and the message of the system. */
export function describeStorageFailure({ reason, detail }: StorageFailure, path: string): string {
  const { problem, remedy } = failureTexts[reason];
  return `${problem({ path })}: ${remedy} (${detail})`;
}
