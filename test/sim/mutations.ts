/** Faults that are planted into the program under test, to see that the simulation notices them. In earnest there are none. */
import type { WriterCommands } from "../../src/replication/log/writer-commands.ts";
import type { Shape } from "./cluster.ts";
import type { Serve } from "./network.ts";
import type { Process } from "./machines.ts";
import type { Owner } from "./time.ts";

export interface Mutation {
  /** In place of the writer's commands. */
  readonly writer?: (owner: Owner, commands: WriterCommands) => WriterCommands;
  /** In place of the listener's handler. */
  readonly serve?: (process: Process, request: Request, serve: Serve) => Promise<Response> | undefined;
  /** Disks say that they have written what they have not. */
  readonly forgetfulDisks?: boolean;
  /** Done with the data directory of each node before it starts. */
  readonly starting?: (directory: string) => void;
  /** Done each second on a node that ends when it fails. */
  readonly fragileTimer?: (process: Process) => void;
  /** Edges are told that their disks need not have it, where they should. */
  readonly hastyEdges?: boolean;
  /** The name of a fault that strikes as often as all others together. */
  readonly favourite?: string;
  /** What the seed does not choose. */
  readonly shape?: Partial<Shape>;
  /** Whether nodes choose the primary by themselves; by chance where it is not said. */
  readonly failover?: boolean;
  /** Nodes are told to wait for no edges, where they should. */
  readonly impatient?: boolean;
}

export const noMutation: Mutation = {};

export function mutateWriter(plant: Mutation, owner: Owner, commands: WriterCommands): WriterCommands {
  return plant.writer?.(owner, commands) ?? commands;
}
