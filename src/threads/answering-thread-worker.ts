/**
 * The entry point of a thread that answers questions beside the main thread (`answering-threads.ts`). It listens at the
 * port of the node, answers what it may (`thread-app.ts`), and reports several times per second what it counted.
 */
import { ThreadDecisions } from "../decisions/thread-decisions.ts";
import type { Shape } from "../engine/query/shapes.ts";
import { adoptCompiled } from "../policy/active-policy.ts";
import type { CompiledAhead } from "../policy/compile-ahead.ts";
import { unpackPolicy } from "../policy/packed-policy.ts";
import { serveListenerThread } from "../runtime/listener-threads.ts";
import { takeMetricChanges } from "../telemetry/metrics.ts";
import { must } from "../util/assert.ts";
import { systemClock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import type { Permission, SharedCounters, ThreadCommand, ThreadReport } from "./messages.ts";
import { openThreadApp, type ThreadApp } from "./thread-app.ts";
import { ThreadNode } from "./thread-node.ts";

const reportIntervalMs = 100;

interface Answering {
  readonly node: ThreadNode;
  readonly decisions: ThreadDecisions;
  readonly app: ThreadApp;
}

serveListenerThread(({ forward, own }) => {
  let counters: SharedCounters | undefined;
  let answering: Answering | undefined;
  let isPermitted = false;
  let wasPrepared = false;
  let hasRehearsed = false;
  let problem: string | undefined;

  const report = (request?: number): void => {
    if (counters === undefined) return;
    const { decisions, dropped } = answering?.decisions.take() ?? { decisions: undefined, dropped: 0 };
    const expected = answering?.node.takeExpected();
    const metrics = takeMetricChanges();
    const keyUses = answering?.node.keyUses.take() ?? [];
    const isPrepared = isPermitted && hasRehearsed && answering?.node.isWarmingUp !== true;
    const isNews =
      decisions !== undefined ||
      dropped > 0 ||
      keyUses.length > 0 ||
      Object.keys(metrics).length > 0 ||
      expected !== undefined ||
      problem !== undefined ||
      isPrepared !== wasPrepared;
    if (request === undefined && !isNews) return;
    const message: ThreadReport = {
      report: request,
      metrics,
      keyUses,
      decisions,
      nextDecision: Atomics.load(counters.decisions, 0),
      droppedDecisions: dropped,
      expected: expected === undefined ? undefined : (JSON.parse(expected) as readonly Shape[]),
      isPrepared,
      problem,
    };
    [wasPrepared, problem] = [isPrepared, undefined];
    own.send(message);
  };
  const permit = (permission: Permission | undefined): void => {
    // The main thread has the key uses and decisions of the last database before it hears of the next one.
    report();
    const previous = answering;
    answering = undefined;
    isPermitted = true;
    try {
      if (permission !== undefined) answering = open(permission, must(counters), report, forward);
    } catch (error) {
      problem = reasonOf(error);
    }
    previous?.node.close();
    if (!hasRehearsed) void rehearse();
  };
  const rehearse = async (): Promise<void> => {
    // The first question gets the same error.
    await answering?.app.rehearse().catch(() => {});
    hasRehearsed = true;
  };
  own.onMessage((received) => {
    const message = received as ThreadCommand;
    if ("begin" in message) counters = message.begin;
    else if ("permission" in message) permit(message.permission);
    else if ("compiled" in message) adopt(message.compiled);
    else if ("report" in message) report(message.report);
    else if ("takenBytes" in message) answering?.decisions.taken(message.takenBytes);
    else answering?.node.setAge(message.ageMs);
  });
  systemClock.every(reportIntervalMs, () => report());
  return {
    fetch: (request, connections) => answering?.app.fetch(request, connections) ?? forward(request, connections),
    close: () => permit(undefined),
  };
});

function adopt({ source, filename, packed }: CompiledAhead): void {
  adoptCompiled(source, filename, unpackPolicy(packed));
}

function open(
  permission: Permission,
  counters: SharedCounters,
  report: () => void,
  forward: Parameters<typeof openThreadApp>[3],
): Answering {
  const node = new ThreadNode(permission);
  const decisions = new ThreadDecisions(permission, counters.decisions, report);
  return { node, decisions, app: openThreadApp(permission, counters, { node, decisions }, forward) };
}
