/** The environments of the appliance, as the API needs them. */
import type { PromoteOptions, PromotionPreview } from "../replication/node.ts";

export interface EnvironmentInfo {
  readonly id: string;
  readonly name: string;
  /** Undefined for the default environment. */
  readonly createdMs: number | undefined;
  readonly isDefault: boolean;
  /** Only of a deleted environment. */
  readonly deletedMs?: number | undefined;
  /** When the deletion becomes final, if the primary runs all the time until then. */
  readonly finalMs?: number | undefined;
  /** Undefined if this node does not follow the environment. */
  readonly here?:
    | {
        readonly role: "primary" | "edge" | "fallback";
        readonly offset: number | null;
        readonly isReady: boolean;
      }
    | undefined;
  /** Why this node cannot start the environment, which it tries again, or that its data never arrived. */
  readonly failure?: string | undefined;
}

export interface EnvironmentRequest {
  readonly id: string;
  readonly name: string;
  readonly copyOf: string | undefined;
  /** Whether it may take the place of an environment whose data never arrived. */
  readonly again: boolean;
}

/**
 * All environments of the appliance. A change that resolves is acknowledged by as many edges as a write. AppError
 * `not_ready` with `mayBeDone`: it is done here, and the same request again waits for them.
 */
export interface Environments {
  /** AppError `not_ready` while the node starts, and has not read which environments there are. */
  list(): readonly EnvironmentInfo[];
  /** AppError `conflict`, `not_found` (`copyOf`), `not_ready`. */
  create(request: EnvironmentRequest): Promise<{ readonly info: EnvironmentInfo; readonly token: string }>;
  /** Forgets an environment whose data never arrived at this node. AppError `not_found`, `conflict`, `not_ready`. */
  abandon(id: string): Promise<void>;
  /** AppError `not_found`, `not_ready`. */
  rename(id: string, name: string): Promise<void>;
  /** AppError `not_found`, `conflict`, `not_ready`. */
  delete(id: string): Promise<{ readonly finalMs: number }>;
  /** AppError `not_found`, `conflict`, `not_ready`. */
  restore(id: string): Promise<void>;
  /**
   * Makes another admin key of the environment, whose own audit log gets an entry with this request id, but without the
   * administrator. AppError `not_found`, `conflict` (the default environment), `invalid_request` (too many keys), `not_ready`.
   */
  createKey(id: string, requestId: string): Promise<{ readonly keyId: string; readonly token: string }>;
  /**
   * A backup of an environment, or with the id `environments-` of the list of environments. Its own audit log gets an entry
   * with this request id, but without the administrator. AppError `not_found`, and those of `Node.backup`.
   */
  backUp(id: string, requestId: string): Promise<Response>;
  /** Says that there are no other environments than those of the list. AppError `not_ready`. */
  complete(): Promise<void>;
  /** Until when there may be others, in ms since 1970; undefined if the list has all. */
  incompleteUntilMs(): number | undefined;
  /** Promotes this node for the environments besides the default one. Returns those that failed. */
  promoteOthers(options: PromoteOptions): Promise<readonly { readonly id: string; readonly reason: string }[]>;
  /** What `promoteOthers` would do now, for each environment of which this node is an edge or a replaced primary. */
  previewOthers(options: PromoteOptions): Promise<readonly (readonly [id: string, preview: OtherPreview])[]>;
}

/** What is shown of a promotion in an environment besides the default one. */
export type OtherPreview = Pick<PromotionPreview, "reasons" | "warnings" | "missingEvents" | "lostEvents">;
