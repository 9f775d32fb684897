/** What a follower is given: its copy, its writer, and the nodes that it asks. */
import type { Limits } from "../../config/limits.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import type { Clock } from "../../util/clock.ts";
import type { Writer } from "../log/writer.ts";
import type { CatchUpOptions } from "./catch-up.ts";
import type { NodeClient } from "../transport/node-client.ts";
import type { Peers } from "../transport/peers.ts";

export interface ReplicaLoopOptions {
  readonly environment: string;
  readonly limits: Limits;
  /** The oldest copy that may be answered from. */
  readonly maxStalenessMs?: number | undefined;
  readonly clock: Clock;
  readonly writer: Pick<Writer, "replay">;
  readonly peers: Peers;
  /** Where this copy stands; undefined before there is one. */
  readonly state: () => StoreState | undefined;
  /** As for catching up; `isDistrusted` says that nobody may answer from the present copy any more. */
  readonly installSnapshot: (from: NodeClient, replacing: () => unknown, isDistrusted: boolean) => Promise<StoreState>;
  /** The file is damaged, or could not be read. */
  readonly onDamage: (error: unknown) => void;
  readonly onDivergence: CatchUpOptions["onDivergence"];
  readonly onVerified: CatchUpOptions["onVerified"];
}
