/** Mutations of the program under test. They prove that the simulation finds the bugs that they cause. */
import type { WriterCommands } from "../../src/log/writer/writer-commands.ts";
import type { Shape } from "./cluster.ts";
import type { Serve } from "./network.ts";
import type { Process } from "./machines.ts";
import type { Owner } from "./time.ts";

export interface Mutation {
  /** Replaces the writer's commands. */
  readonly writer?: (owner: Owner, commands: WriterCommands) => WriterCommands;
  /** Replaces the listener's handler. */
  readonly serve?: (process: Process, request: Request, serve: Serve) => Promise<Response> | undefined;
  /** Disks report data as synced that they have not synced. */
  readonly forgetfulDisks?: boolean;
  /** Called with the data directory of each node before it starts. */
  readonly starting?: (directory: string) => void;
  /** Called each second. An error in it ends the node. */
  readonly fragileTimer?: (process: Process) => void;
  /** Edges do not sync their writes, although they should. */
  readonly hastyEdges?: boolean;
  /** The name of a fault that happens as often as all others together. */
  readonly favourite?: string;
  /** Overrides the choices of the seed. */
  readonly shape?: Partial<Shape>;
  /** Whether the nodes elect the primary themselves. By chance if undefined. */
  readonly failover?: boolean;
  /** Primaries do not wait for acknowledgements, although they should. */
  readonly impatient?: boolean;
}

export const noMutation: Mutation = {};

export function mutateWriter(mutation: Mutation, owner: Owner, commands: WriterCommands): WriterCommands {
  return mutation.writer?.(owner, commands) ?? commands;
}
