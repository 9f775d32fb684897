/**
 * What is loaded from the node: a skeleton while it is loaded, the error with a button that tries again, and old data
 * dimmed with its age while it cannot be refreshed. Every screen and part shows its data with it.
 */
import type { ComponentChildren } from "preact";
import { messageOf } from "../api/error-text.ts";
import { NoAnswerError, silentSinceMs } from "../api/node-api.ts";
import { CodeError } from "../state/code-error.ts";
import type { RemoteData } from "../state/loaded.ts";
import { useNow } from "../state/now.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { formatAge, isOld } from "./age.ts";
import { Pill } from "./pill.tsx";

const words = texts.remote;

export interface RemoteProps<T> {
  readonly of: RemoteData<T>;
  readonly children: (data: T) => ComponentChildren;
  /** What is said while it is loaded, if that takes long. */
  readonly loading?: string;
  /** The lines of the skeleton. */
  readonly lines?: number;
  /** Older data is dimmed, even if no request failed. */
  readonly freshMsMax?: number;
  /** Whether the data never changes, such as code. */
  readonly isTimeless?: boolean;
}

export function Remote<T>({ of, children, loading, lines, freshMsMax = Infinity, isTimeless = false }: RemoteProps<T>) {
  const { data, atMs, error, isLoading, reload } = of;
  const isSilent = useStore(silentSinceMs) !== undefined;
  if (atMs === undefined)
    return error === undefined && !isSilent ? (
      <Loading text={loading} lines={lines} />
    ) : (
      <Trouble error={error} isLoading={isLoading && !isSilent} onRetry={reload} />
    );
  const shown = children(data as T);
  if (isTimeless) return <>{shown}</>;
  return (
    <Aging atMs={atMs} error={error} isLoading={isLoading} freshMsMax={freshMsMax} onRetry={reload}>
      {shown}
    </Aging>
  );
}

/** `text` is only heard if it says no more than that something is loaded. */
export function Loading({
  text,
  lines = 3,
}: {
  readonly text?: string | undefined;
  readonly lines?: number | undefined;
}) {
  return (
    <div class="loading">
      <p role="status" class={text === undefined ? "hidden" : "help"}>
        {text ?? texts.loading}
      </p>
      <div aria-hidden="true">
        {Array.from({ length: lines }, (_, line) => (
          <span key={line} class="skeleton" />
        ))}
      </div>
    </div>
  );
}

export interface TroubleProps {
  /** Of the last attempt; undefined if none has ended. */
  readonly error: unknown;
  readonly isLoading?: boolean;
  readonly onRetry: () => void;
}

/** Why something could not be loaded. */
export function Trouble({ error, isLoading = false, onRetry }: TroubleProps) {
  const isSilent = useStore(silentSinceMs) !== undefined;
  const needsReload = error instanceof CodeError && !isSilent;
  const hasAnswer = !isSilent && error !== undefined && !(error instanceof NoAnswerError);
  return (
    <div class="trouble">
      {hasAnswer ? (
        <p role="alert" class="failure">
          {needsReload ? words.codeFailed : `${texts.node.failed} ${messageOf(error)}`}
        </p>
      ) : (
        // The banner of the page says it aloud.
        <p>{isSilent ? words.noAnswer : words.waiting}</p>
      )}
      {needsReload ? (
        <button type="button" onClick={() => location.reload()}>
          {words.reload}
        </button>
      ) : (
        <button type="button" disabled={isLoading} onClick={onRetry}>
          {isLoading ? words.retrying : words.retry}
        </button>
      )}
    </div>
  );
}

export interface AgingProps {
  /** When the data came, by the wall clock; undefined if there is none yet. */
  readonly atMs: number | undefined;
  /** Of the last attempt to refresh it. */
  readonly error?: unknown;
  readonly isLoading?: boolean;
  readonly freshMsMax?: number;
  readonly onRetry: () => void;
  readonly children: ComponentChildren;
}

/** Data that came at some time, in any form. It is dimmed, with its age, if it could not be refreshed since. */
export function Aging({ atMs, error, isLoading = false, freshMsMax = Infinity, onRetry, children }: AgingProps) {
  const isSilent = useStore(silentSinceMs) !== undefined;
  const nowMs = useNow(isSilent || error !== undefined || freshMsMax !== Infinity);
  const hasTrouble = isSilent || error !== undefined;
  const isStale = atMs !== undefined && (hasTrouble || isOld(atMs, nowMs, freshMsMax));
  return (
    <>
      {(hasTrouble || isStale) && (
        <div class="age">
          {isStale && <Pill kind="warn">{words.age(formatAge(atMs, nowMs))}</Pill>}
          {/* With old data, the banner of the page says enough. */}
          {!(isSilent && isStale) && <Trouble error={error} isLoading={isLoading && !isSilent} onRetry={onRetry} />}
        </div>
      )}
      <div class={isStale ? "stale" : undefined}>{children}</div>
    </>
  );
}
