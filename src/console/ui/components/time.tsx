/**
 * A time: local, in the one format of the console, with the UTC time on hover. Where there is room, on the page of one
 * entry, both are shown, so that they can be read without a mouse.
 */
import { useEffect, useState } from "preact/hooks";
import { texts } from "../texts.ts";
import { localTime, relativeTime, timeIn, utcTime } from "./times.ts";

export interface TimeProps {
  /** With its zone, or milliseconds since 1970. */
  readonly value: string | number;
  /** Whether milliseconds matter, as in a log. */
  readonly hasMs?: boolean;
  /** How it is shown: `relative` as `3 min ago`, with the time on hover; `both` with the UTC time beside it. */
  readonly as?: "local" | "relative" | "both";
}

export function Time({ value, hasMs = false, as = "local" }: TimeProps) {
  const ms = timeIn(value);
  // A text from another version of the node.
  if (ms === undefined) return <>{value}</>;
  const [local, utc] = [localTime(ms, { hasMs }), utcTime(ms, { hasMs })];
  const dateTime = new Date(ms).toISOString();
  if (as === "relative") return <RelativeTime ms={ms} dateTime={dateTime} title={texts.time.both(local, utc)} />;
  return (
    <>
      <time dateTime={dateTime} title={utc}>
        {local}
      </time>
      {as === "both" && <span class="note"> {texts.time.beside(utc)}</span>}
    </>
  );
}

/** Shorter than the unit of relative times, so that none is much too old. */
const redrawMs = 15_000;

function RelativeTime({
  ms,
  dateTime,
  title,
}: {
  readonly ms: number;
  readonly dateTime: string;
  readonly title: string;
}) {
  const [nowMs, setNowMs] = useState(Date.now);
  useEffect(() => {
    setNowMs(Date.now());
    const timer = setInterval(() => setNowMs(Date.now()), redrawMs);
    return () => clearInterval(timer);
  }, [ms]);
  return (
    <time dateTime={dateTime} title={title}>
      {relativeTime(ms, nowMs)}
    </time>
  );
}
