/**
 * The entry point of a thread that answers questions beside the main thread (`answering-threads.ts`). It listens at the
 * port of the node, answers what it may (`thread-app.ts`), and reports several times per second what it counted.
 */
import { type DecisionCounter, newDecisionCounter } from "../decisions/decision-order.ts";
import type { Shape } from "../engine/query/shapes.ts";
import { serveListenerThread } from "../runtime/listener-threads.ts";
import { takeMetricChanges } from "../telemetry/metrics.ts";
import { systemClock } from "../util/clock.ts";
import type { FromAnswerer, Permission, ToAnswerer } from "./messages.ts";
import { openThreadApp } from "./thread-app.ts";
import { ThreadDecisions } from "../decisions/thread-decisions.ts";
import { ThreadNode } from "./thread-node.ts";

const reportIntervalMs = 100;

interface Answering {
  readonly node: ThreadNode;
  readonly decisions: ThreadDecisions;
  readonly fetch: ReturnType<typeof openThreadApp>;
}

serveListenerThread(({ forward, own }) => {
  let counter = newDecisionCounter();
  let answering: Answering | undefined;
  let isPermitted = false;
  let wasPrepared = false;

  const report = (request?: number): void => {
    const { decisions, dropped } = answering?.decisions.take() ?? { decisions: undefined, dropped: 0 };
    const expected = answering?.node.takeExpected();
    const metrics = takeMetricChanges();
    const keyUses = answering?.node.keyUses.take() ?? [];
    const isPrepared = isPermitted && answering?.node.isWarmingUp !== true;
    const isNews = decisions !== undefined || dropped > 0 || keyUses.length > 0 || Object.keys(metrics).length > 0;
    if (request === undefined && !isNews && expected === undefined && isPrepared === wasPrepared) return;
    wasPrepared = isPrepared;
    const message: FromAnswerer = {
      report: request,
      metrics,
      keyUses,
      decisions,
      nextDecision: Atomics.load(counter, 0),
      droppedDecisions: dropped,
      expected: expected === undefined ? undefined : (JSON.parse(expected) as readonly Shape[]),
      isPrepared,
    };
    own.send(message);
  };
  const permit = (permission: Permission | undefined): void => {
    // The main thread has the key uses and decisions of the last database before it hears of the next one.
    report();
    const previous = answering;
    answering = undefined;
    isPermitted = true;
    try {
      if (permission !== undefined) answering = open(permission, counter, report, forward);
    } catch {
      // The file was replaced meanwhile, and there will be another permission.
    }
    previous?.node.close();
  };
  own.onMessage((received) => {
    const message = received as ToAnswerer;
    if ("decisionCounter" in message) counter = message.decisionCounter;
    else if ("permission" in message) permit(message.permission);
    else if ("report" in message) report(message.report);
    else if ("takenBytes" in message) answering?.decisions.taken(message.takenBytes);
    else if (answering !== undefined) answering.node.setAge(message.ageMs);
  });
  systemClock.every(reportIntervalMs, () => report());
  return {
    fetch: (request, connections) => answering?.fetch(request, connections) ?? forward(request, connections),
    close: () => permit(undefined),
  };
});

function open(
  permission: Permission,
  counter: DecisionCounter,
  report: () => void,
  forward: Parameters<typeof openThreadApp>[3],
): Answering {
  const node = new ThreadNode(permission);
  const decisions = new ThreadDecisions(permission, counter, report);
  return { node, decisions, fetch: openThreadApp(permission, node, decisions, forward) };
}
