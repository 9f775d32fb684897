/** New decisions as they are made. Many at once are skipped, so that an open console costs the node little. */
import { useEffect, useState } from "preact/hooks";
import { followStream } from "../api/live-stream.ts";
import { LiveList } from "../components/live-list.tsx";
import { Aging } from "../components/remote.tsx";
import { open } from "../state/session.ts";
import { decisionsTexts as words } from "../texts/decisions.ts";
import { DecisionRows } from "./decision-rows.tsx";
import type { LoggedDecision } from "./logged-decision.ts";
import { addToTail, TailBudget, tailRowsMax, type TailRow } from "./tail.ts";

type State = "connecting" | "open" | "interrupted";

/** Rows appear together, so that a busy log does not redraw the table for each. */
const drawMs = 250;

export function LiveTail({ conditions }: { readonly conditions: URLSearchParams }) {
  const [rows, setRows] = useState<readonly TailRow[]>([]);
  const [state, setState] = useState<State>("connecting");
  /** When the list was last known to be the newest one. */
  const [atMs, setAtMs] = useState<number | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const [turn, setTurn] = useState(0);
  const begin = (): void => {
    setError(undefined);
    setTurn((count) => count + 1);
  };
  useEffect(() => {
    const controller = new AbortController();
    let arrived: LoggedDecision[] = [];
    let isAfterGap = false;
    let isGapNext = false;
    const draw = (): void => {
      if (arrived.length === 0) return;
      const [added, gap] = [arrived, isAfterGap];
      [arrived, isAfterGap] = [[], false];
      setRows((before) => addToTail(before, added, gap));
    };
    const timer = setInterval(draw, drawMs);
    follow(conditions, controller.signal, {
      onDecision(decision) {
        if (isGapNext && arrived.length > 0) draw();
        isAfterGap ||= isGapNext;
        isGapNext = false;
        arrived.push(decision);
      },
      onSkipped: () => (isGapNext = true),
      onState: (isOpen) => {
        setState(isOpen ? "open" : "interrupted");
        setAtMs((before) => (isOpen ? Date.now() : before));
      },
    }).catch(setError);
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  }, [String(conditions), turn]);
  const help = words.liveHelp(tailRowsMax);
  const status = { connecting: words.liveConnecting, open: help, interrupted: words.liveInterrupted }[state];
  return (
    <section aria-label={words.table}>
      <p role="status" class="help">
        {status}
      </p>
      <Aging atMs={atMs} error={error} onRetry={begin}>
        {rows.length > 0 ? (
          <LiveList entries={rows} keyOf={({ decision }) => decision.id}>
            {(shown) => <DecisionRows rows={shown} />}
          </LiveList>
        ) : (
          error === undefined && <p>{words.liveWaiting}</p>
        )}
      </Aging>
    </section>
  );
}

interface Listener {
  readonly onDecision: (decision: LoggedDecision) => void;
  /** Decisions before the next one are not read. */
  readonly onSkipped: () => void;
  readonly onState: (isOpen: boolean) => void;
}

/** Follows the log. After too many decisions in a window it closes the stream, and goes on with the newest ones. */
async function follow(
  conditions: URLSearchParams,
  signal: AbortSignal,
  { onDecision, onSkipped, onState }: Listener,
): Promise<void> {
  const budget = new TailBudget();
  while (!signal.aborted) {
    const tooMany = new AbortController();
    const either = AbortSignal.any([signal, tooMany.signal]);
    let waitMs = 0;
    await followStream(
      (lastEventId, each) =>
        open(`/api/decisions?${conditions}`, { accept: "text/event-stream", signal: each, lastEventId }),
      {
        signal: either,
        onState,
        onEvent(event) {
          if (waitMs > 0) return;
          ({ waitMs } = budget.take(performance.now()));
          if (waitMs > 0) tooMany.abort();
          else onDecision(event as LoggedDecision);
        },
      },
    );
    if (signal.aborted) return;
    onSkipped();
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
