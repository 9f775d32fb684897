/**
 * The state machine of a node: which role it has, and how it changes its role. `transition` is pure. It takes a state
 * and an input and returns the next state and the commands for `node-loop.ts`, which performs them one after another
 * and reports what came of them as further inputs. `src/ARCHITECTURE.md` has a picture of it.
 *
 * A node starts in the role of its configuration. An edge becomes the primary with the votes of its peers (`promoting`),
 * or because it begins the first history. A primary that is fenced becomes an edge (`steppingDown`), or stays `fenced`
 * if it knows no node to follow. Every state leads to `stopped`, which is final.
 */
import type { ObservedPosition, FenceReason } from "../replication/failover/fence.ts";

export type Role = "primary" | "edge" | "fallback";

/** Why a node is no longer the primary. */
export interface Fencing {
  readonly reason: FenceReason;
  /** A position that other nodes have and this one has not. */
  readonly lacking: ObservedPosition | undefined;
  /** The term of that position, or of this primary. */
  readonly term: number;
  /** Whether there is a node that this one can follow. */
  readonly canFollow: boolean;
  /** Whether the node asks for the votes of its peers as soon as it has the missing events. */
  readonly mayReclaim: boolean;
}

/**
 * Who makes this node the primary: `votes` of its peers, the lease under which it begins the first `history`, or an
 * `operator`, if it was fenced and has no peers that could vote.
 */
export type PromotedBy = "votes" | "history" | "operator";

export interface Starting {
  readonly name: "starting";
  readonly role: Role;
  readonly fencing: Fencing | undefined;
}

/** The primary starts, with what the `promotion` has gained. */
export interface Promoting<Promotion> {
  readonly name: "promoting";
  readonly by: PromotedBy;
  readonly promotion: Promotion;
  readonly fencing: Fencing | undefined;
}

/** The promotion by an operator has failed: the primary starts as it was before. */
export interface Returning {
  readonly name: "returning";
  readonly fencing: Fencing | undefined;
}

/** The edge starts, after a primary that was fenced or after a failed promotion. */
export interface SteppingDown {
  readonly name: "steppingDown";
  readonly fencing: Fencing | undefined;
}

export interface Primary {
  readonly name: "primary";
}

/** A primary that writes nothing any more, and knows no node to follow. */
export interface Fenced {
  readonly name: "fenced";
}

export interface Edge {
  readonly name: "edge";
}

export interface Fallback {
  readonly name: "fallback";
}

export interface Stopped<Promotion> {
  readonly name: "stopped";
  /** What was under way when the node was stopped. */
  readonly promoting: Promoting<Promotion> | undefined;
}

export type NodeState<Promotion> =
  Starting | Promoting<Promotion> | Returning | SteppingDown | Primary | Fenced | Edge | Fallback | Stopped<Promotion>;

export type NodeInput<Promotion> =
  /** The role of the last `start` runs. */
  | { readonly type: "started" }
  | { readonly type: "startFailed" }
  | { readonly type: "retryDue" }
  /** The primary may not write any more, possibly before it has started. */
  | { readonly type: "fenced"; readonly fencing: Fencing }
  /** This node may become the primary. `besides`: how many requests under way wait for that. */
  | {
      readonly type: "promoted";
      readonly by: PromotedBy;
      readonly promotion: Promotion;
      readonly besides: number;
    }
  | { readonly type: "stopped" };

export type NodeCommand<Promotion> =
  /** Start this role on the parts of the node. */
  | { readonly type: "start"; readonly role: Role; readonly promotion: Promotion | undefined }
  /** New requests wait; when the earlier ones but for `besides` are answered, the role ends. */
  | { readonly type: "end"; readonly besides: number }
  /** The role that has started answers from now on. */
  | { readonly type: "serve" }
  /** Requests that wait for the next role fail. */
  | { readonly type: "failWaiting" }
  | { readonly type: "retryLater" }
  /** Keep the damaged database beside the one that this node will fetch. */
  | { readonly type: "quarantine" }
  /** Note that this node was promoted, so that it is the primary after a restart as well. */
  | { readonly type: "notePromoted" }
  /** Release the lease of the primary that has ended or could not start. */
  | { readonly type: "releaseLease" }
  | { readonly type: "resolvePromotion"; readonly promotion: Promotion }
  /** Reject it with the error of the last start. */
  | { readonly type: "rejectPromotion"; readonly promotion: Promotion }
  /** This node cannot be promoted in this state. */
  | { readonly type: "refusePromotion"; readonly promotion: Promotion }
  /** Acquire the lease under which this node begins the first history, if it is meant to. */
  | { readonly type: "awaitHistory" }
  /** Ask the peers for their votes once this node has the missing events. */
  | { readonly type: "reclaim"; readonly fencing: Fencing };

export interface NodeTransition<Promotion> {
  readonly state: NodeState<Promotion>;
  readonly commands: readonly NodeCommand<Promotion>[];
}

export function transition<Promotion>(
  state: NodeState<Promotion>,
  input: NodeInput<Promotion>,
): NodeTransition<Promotion> {
  if (state.name === "stopped") return whenStopped(state, input);
  if (input.type === "stopped") return stop(state);
  if (input.type === "promoted") return promote(state, input);
  switch (state.name) {
    case "starting":
      return whileStarting(state, input);
    case "promoting":
      return whilePromoting(state, input);
    case "returning":
      return whileReturning(state, input);
    case "steppingDown":
      return whileSteppingDown(state, input);
    case "primary":
      return input.type === "fenced" ? stepDown(input.fencing) : unchanged(state);
    case "edge":
    case "fenced":
    case "fallback":
      return unchanged(state);
  }
}

function stop<Promotion>(state: NodeState<Promotion>): NodeTransition<Promotion> {
  return { state: { name: "stopped", promoting: state.name === "promoting" ? state : undefined }, commands: [] };
}

/** A role may have been starting when the node was stopped. */
function whenStopped<Promotion>(state: Stopped<Promotion>, input: NodeInput<Promotion>): NodeTransition<Promotion> {
  const { promoting } = state;
  switch (input.type) {
    case "started":
      return { state, commands: [...(promoting ? promotedBy(promoting) : []), { type: "end", besides: 0 }] };
    case "startFailed":
      return { state, commands: promoting ? [{ type: "rejectPromotion", promotion: promoting.promotion }] : [] };
    case "promoted":
      return { state, commands: [{ type: "refusePromotion", promotion: input.promotion }] };
    default:
      return unchanged(state);
  }
}

type Input<Promotion> = Exclude<NodeInput<Promotion>, { readonly type: "stopped" | "promoted" }>;

function unchanged<Promotion>(state: NodeState<Promotion>): NodeTransition<Promotion> {
  return { state, commands: [] };
}

/** The first reason counts: what follows is a consequence of it. */
function noteFencing<Promotion>(
  state: Extract<NodeState<Promotion>, { readonly fencing: unknown }>,
  { fencing }: { readonly fencing: Fencing },
): NodeTransition<Promotion> {
  return { state: state.fencing === undefined ? { ...state, fencing } : state, commands: [] };
}

function whileStarting<Promotion>(state: Starting, input: Input<Promotion>): NodeTransition<Promotion> {
  switch (input.type) {
    case "started":
      if (state.role === "primary") return lead(state.fencing, [{ type: "serve" }]);
      if (state.role === "fallback") return { state: { name: "fallback" }, commands: [{ type: "serve" }] };
      return { state: { name: "edge" }, commands: [{ type: "serve" }, { type: "awaitHistory" }] };
    case "startFailed":
      return stop(state);
    case "fenced":
      return noteFencing(state, input);
    default:
      return unchanged(state);
  }
}

function whilePromoting<Promotion>(state: Promoting<Promotion>, input: Input<Promotion>): NodeTransition<Promotion> {
  const { by, promotion, fencing } = state;
  switch (input.type) {
    case "started":
      return lead(fencing, [{ type: "serve" }, ...promotedBy(state)]);
    case "startFailed":
      if (by === "operator")
        return {
          state: { name: "returning", fencing: undefined },
          commands: [{ type: "rejectPromotion", promotion }, startOf("primary")],
        };
      return {
        state: { name: "steppingDown", fencing: fencing?.reason === "replaced" ? fencing : undefined },
        commands: [{ type: "releaseLease" }, { type: "rejectPromotion", promotion }, startOf("edge")],
      };
    case "fenced":
      return noteFencing(state, input);
    default:
      return unchanged(state);
  }
}

function promotedBy<Promotion>({ by, promotion }: Promoting<Promotion>): readonly NodeCommand<Promotion>[] {
  return [
    // With a lease a node is an edge at each start, and the first history begins with a lease.
    ...(by === "history" ? [] : [{ type: "notePromoted" } as const]),
    { type: "resolvePromotion", promotion },
  ];
}

function whileReturning<Promotion>(state: Returning, input: Input<Promotion>): NodeTransition<Promotion> {
  switch (input.type) {
    case "started":
      return lead(state.fencing, [{ type: "serve" }]);
    case "startFailed":
      return { state, commands: [{ type: "failWaiting" }, { type: "retryLater" }] };
    case "retryDue":
      return { state: { name: "returning", fencing: undefined }, commands: [startOf("primary")] };
    case "fenced":
      return noteFencing(state, input);
    default:
      return unchanged(state);
  }
}

function whileSteppingDown<Promotion>(state: SteppingDown, input: Input<Promotion>): NodeTransition<Promotion> {
  const { fencing } = state;
  switch (input.type) {
    case "started":
      return {
        state: { name: "edge" },
        commands: [...(fencing?.mayReclaim === true ? [{ type: "reclaim", fencing } as const] : []), { type: "serve" }],
      };
    case "startFailed":
      // It is tried until it succeeds, because this node cannot answer meanwhile.
      return { state, commands: [{ type: "failWaiting" }, { type: "retryLater" }] };
    case "retryDue":
      return { state, commands: [startOf("edge")] };
    default:
      return unchanged(state);
  }
}

/** The primary has started. It may have been fenced meanwhile. */
function lead<Promotion>(
  fencing: Fencing | undefined,
  commands: readonly NodeCommand<Promotion>[],
): NodeTransition<Promotion> {
  if (fencing === undefined) return { state: { name: "primary" }, commands };
  const next = stepDown<Promotion>(fencing);
  return { state: next.state, commands: [...commands, ...next.commands] };
}

/** Without a node to follow, this one continues to answer from its data. */
function stepDown<Promotion>(fencing: Fencing): NodeTransition<Promotion> {
  if (!fencing.canFollow) return { state: { name: "fenced" }, commands: [] };
  return {
    state: { name: "steppingDown", fencing },
    commands: [
      { type: "end", besides: 0 },
      ...(fencing.reason === "damaged" ? [{ type: "quarantine" } as const] : []),
      { type: "releaseLease" },
      startOf("edge"),
    ],
  };
}

function promote<Promotion>(
  state: NodeState<Promotion>,
  { by, promotion, besides }: Extract<NodeInput<Promotion>, { readonly type: "promoted" }>,
): NodeTransition<Promotion> {
  if (state.name !== (by === "operator" ? "fenced" : "edge"))
    return { state, commands: [{ type: "refusePromotion", promotion }] };
  return {
    state: { name: "promoting", by, promotion, fencing: undefined },
    commands: [{ type: "end", besides }, startOf("primary", promotion)],
  };
}

function startOf<Promotion>(role: Role, promotion?: Promotion): NodeCommand<Promotion> {
  return { type: "start", role, promotion };
}
