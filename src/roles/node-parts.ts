/**
 * The parts of a node that do not depend on its role: the locked data directory, the writer, the database, votes, the
 * uses of API keys and the audit log. They are made once, so a change of the role neither closes the database nor
 * forgets what waits to be written. Each role gets them with the configuration of that role.
 */
import type { Config } from "../config/config.ts";
import { createAuditRecorder } from "../replication/audit/audit-recorder.ts";
import { Votes } from "../replication/failover/votes.ts";
import { KeyUses } from "../replication/key-uses.ts";
import { Writer } from "../log/writer/writer.ts";
import type { Node } from "../replication/node.ts";
import { NodeContext } from "../replication/node-context.ts";
import { LocalDatabase } from "../replication/replica/local-database.ts";
import { LongPolls } from "../replication/transport/long-polls.ts";
import { lockNodeDirectory, type DataDirectory } from "../store/directory/data-directory.ts";
import type { AuditEntry } from "../store/log/audit-entry.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";

export class NodeParts extends NodeContext<ClusterSystem> {
  readonly directory: DataDirectory;
  readonly writer: Writer;
  readonly database: LocalDatabase;
  readonly keyUses: KeyUses;
  /** Requests of other nodes that wait for a new position. */
  readonly longPolls: LongPolls;
  #votes: Votes | undefined;
  #audit: ReturnType<typeof createAuditRecorder> | undefined;

  /** AppError `conflict` if another process uses the data directory. */
  constructor(config: Config, system: ClusterSystem) {
    super(config, system);
    const { data, environment, limits, clock } = this;
    this.directory = lockNodeDirectory(data);
    this.writer = new Writer({ environment, synchronous: "FULL", limits }, system);
    this.database = new LocalDatabase(data, limits, clock, this.writer.changes);
    this.keyUses = new KeyUses(data, clock);
    this.longPolls = new LongPolls(clock);
  }

  /** The votes that this node has granted. AppError `internal` if the stored ones cannot be read. */
  get votes(): Votes {
    return (this.#votes ??= new Votes(this.data));
  }

  /** The audit log. From the first call on, it takes over the actions of commands; the writer has a file open then. */
  get audit(): ReturnType<typeof createAuditRecorder> {
    const store = (entries: readonly AuditEntry[]): Promise<void> =>
      this.writer.recordAudit({ entries, received: false });
    return (this.#audit ??= createAuditRecorder(this, () => this.database.reader(), store));
  }

  /** Makes the file at `path` the database of this node, in the mode of the writer. Readers of the same file go on. */
  async open(path: string): Promise<void> {
    await this.writer.open(path, { create: false });
    if (!this.database.isOpenAt(path)) this.database.open(path);
  }

  /** Closes the database, whose file is damaged. The next role opens another one. */
  async closeDatabase(): Promise<void> {
    this.database.close();
    await this.writer.close();
  }

  /** The role has ended. Nothing is written any more, and another process may use the data directory. */
  async close(): Promise<void> {
    await using ending = new AsyncDisposableStack();
    ending.defer(() => this.directory.unlock());
    ending.defer(() => this.writer.stop());
    ending.defer(() => this.database.close());
    ending.defer(() => this.#audit?.close());
  }
}

/** A node that keeps its role: `stop` ends the role, then the parts. */
export async function startAlone<N extends Node>(
  config: Config,
  start: (parts: NodeParts) => Promise<N>,
  system: ClusterSystem = realClusterSystem,
): Promise<N> {
  const parts = new NodeParts(config, system);
  try {
    const node = await start(parts);
    const endRole = node.stop;
    return Object.defineProperty(node, "stop", { value: () => endRole().finally(() => parts.close()) });
  } catch (error) {
    await parts.close();
    throw error;
  }
}
