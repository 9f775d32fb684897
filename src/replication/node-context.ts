/**
 * The context of a node: what its parts use and none of them owns. It is the same for the whole life of the node,
 * whatever its role, so parts take it, or the view that they need, instead of its members one by one. Logger, metrics
 * and tracer are not in it: they belong to the process, and know for which environment code works
 * (`telemetry/current-environment.ts`).
 */
import type { Config } from "../config/config.ts";
import type { Limits } from "../config/limits.ts";
import type { Clock } from "../util/clock.ts";
import { nodeIdOf } from "./identity.ts";
import type { System } from "./system.ts";

export class NodeContext<S extends System = System> {
  /** The environment whose data the node serves. */
  readonly environment: string;
  /** The data directory. */
  readonly data: string;
  /** The limits and intervals of its configuration. */
  readonly limits: Limits;
  /** Time, network and threads. */
  readonly system: S;
  /** The clock of `system`. */
  readonly clock: Clock;
  readonly #makeId: () => string;
  #id: string | undefined;

  constructor(config: Config, system: S) {
    this.environment = config.environment;
    this.data = config.data;
    this.limits = config.limits;
    this.system = system;
    this.clock = system.clock;
    this.#makeId = () => nodeIdOf(config);
  }

  /** The id of the node. The first call may store one in the data directory, where a refused first start leaves nothing. */
  get id(): string {
    return (this.#id ??= this.#makeId());
  }
}

/** The view of a part that waits and retries. */
export type TimeContext = Pick<NodeContext, "limits" | "clock">;
