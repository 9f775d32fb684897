/** The parts of a node that its replica works with, and that other roles of the node use too. */
import type { Writer } from "../../log/writer/writer.ts";
import type { DataDirectory } from "../../store/directory/data-directory.ts";
import type { NodeContext } from "../node-context.ts";
import type { PeerSystem } from "../transport/node-client.ts";
import type { LocalDatabase } from "./local-database.ts";

export interface ReplicaParts extends NodeContext<PeerSystem> {
  readonly directory: DataDirectory;
  readonly writer: Writer;
  readonly database: LocalDatabase;
}
