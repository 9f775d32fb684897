/** A list of facts of any length: only the visible rows are rendered, and the next ones are loaded when they are near. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { formatNumber } from "../components/format.ts";
import { Aging, Loading } from "../components/remote.tsx";
import { useRecovery } from "../state/recovery.ts";
import { factsTexts } from "../texts/facts.ts";
import { FactPager, type LoadPage } from "./fact-pager.ts";
import { type Fact, factKey, formatFact } from "./fact-text.ts";
import { FactView } from "./fact-view.tsx";
import { type ListView, scrollTopOf, windowOf } from "./window.ts";

const words = factsTexts.list;
/** As in the style sheet. */
const rowHeight = 44;
const borderHeight = 2;

export interface FactListProps {
  /** The list begins anew when it changes. */
  readonly query: string;
  readonly load: LoadPage;
  /** The search ends after so many answers without a fact, until somebody continues it. */
  readonly emptyPagesMax?: number;
  /** The number of facts, if it is known before all are loaded. */
  readonly total?: number | undefined;
  /** The controls of a row; undefined if there are none. */
  readonly controls?: ((fact: Fact) => ComponentChildren) | undefined;
  /** The facts that were deleted since they were loaded, as keys. */
  readonly deleted?: ReadonlySet<string>;
  /** Gets the loaded facts that are shown. */
  readonly onShown?: (facts: readonly Fact[]) => void;
}

export function FactList({ query, load, emptyPagesMax, total, controls, deleted, onShown }: FactListProps) {
  const pager = usePager(query, load);
  const refresh = (): void => void pager.refresh(emptyPagesMax);
  useRecovery(pager.error, refresh);
  const { element, shown, canScroll, scroll } = useWindow(pager.rows, query);
  const isNearEnd = shown.end >= pager.rows;
  useEffect(() => {
    if (isNearEnd && !pager.isStopped && pager.error === undefined) void pager.loadMore(emptyPagesMax);
  }, [isNearEnd, pager.rows, pager.isLoading, pager]);
  const rows = Array.from({ length: shown.end - shown.first }, (_, index) => shown.first + index);
  const facts = rows.map((row) => ({ row, fact: pager.fact(row) }));
  useEffect(() => onShown?.(facts.flatMap(({ fact }) => fact ?? [])), [shown.first, shown.end, pager.rows]);
  const columns = controls === undefined ? 1 : 2;
  const bottom = Math.max(0, shown.height - shown.top - rows.length * rowHeight);
  return (
    <Aging atMs={pager.atMs} error={pager.error} isLoading={pager.isLoading} onRetry={refresh}>
      {pager.atMs === undefined ? (
        <Loading text={words.searching} />
      ) : (
        <ListStatus pager={pager} total={total} canScroll={canScroll} />
      )}
      {pager.rows > 0 && (
        <div
          class="rows"
          ref={element}
          onScroll={scroll}
          tabIndex={0}
          role="region"
          aria-label={words.label}
          style={{ height: `min(60vh, 40rem, ${shown.height + borderHeight}px)` }}
        >
          <table aria-rowcount={pager.isComplete ? pager.rows : -1}>
            <colgroup>
              <col />
              {columns === 2 && <col class="controls" />}
            </colgroup>
            <thead class="hidden">
              <tr>
                <th scope="col">{words.column}</th>
                {columns === 2 && <th scope="col">{words.changeColumn}</th>}
              </tr>
            </thead>
            <tbody>
              <Spacer height={shown.top} columns={columns} />
              {facts.map(({ row, fact }) => (
                <tr key={row} aria-rowindex={row + 1}>
                  <td title={fact && formatFact(fact)}>
                    {fact && <Row fact={fact} isDeleted={deleted?.has(factKey(fact)) === true} />}
                  </td>
                  {controls && <td>{fact && controls(fact)}</td>}
                </tr>
              ))}
              <Spacer height={bottom} columns={columns} />
            </tbody>
          </table>
        </div>
      )}
    </Aging>
  );
}

function Row({ fact, isDeleted }: { readonly fact: Fact; readonly isDeleted: boolean }) {
  return isDeleted ? <del class="fact">{formatFact(fact)}</del> : <FactView fact={fact} />;
}

function Spacer({ height, columns }: { readonly height: number; readonly columns: number }) {
  return (
    <tr class="spacer" aria-hidden="true">
      <td colSpan={columns} style={{ height: `${height}px` }} />
    </tr>
  );
}

interface ListStatusProps {
  readonly pager: FactPager;
  readonly total: number | undefined;
  /** Whether there are rows outside of the view. */
  readonly canScroll: boolean;
}

/** How many facts there are, and what the node does. */
function ListStatus({ pager, total, canScroll }: ListStatusProps) {
  const { isComplete, isLoading, isStopped, emptyPages } = pager;
  return (
    <p>
      <span role="status">{statusOf(pager, total, canScroll)}</span>{" "}
      {isLoading && emptyPages > 0 && (
        <>
          {words.searchingLong(emptyPages)}{" "}
          <button type="button" onClick={() => pager.stop()}>
            {words.stop}
          </button>
        </>
      )}
      {isStopped && !isLoading && !isComplete && (
        <>
          {words.stopped}{" "}
          <button type="button" onClick={() => void pager.loadMore()}>
            {words.more}
          </button>
        </>
      )}
    </p>
  );
}

function statusOf({ rows, isComplete, isStopped }: FactPager, total: number | undefined, canScroll: boolean): string {
  if (isComplete && rows === 0) return words.none;
  const known = isComplete ? rows : total;
  if (known === 1) return words.foundOne;
  if (known !== undefined) return words.found(formatNumber(known));
  const found = rows === 1 ? words.foundOne : words.found(formatNumber(rows));
  if (rows > 0) return canScroll ? words.scrollOn(found) : words.soFar(found);
  return isStopped ? "" : words.searching;
}

function usePager(query: string, load: LoadPage): FactPager {
  const [, setChange] = useState(0);
  const made = useRef<{ readonly query: string; readonly pager: FactPager } | undefined>(undefined);
  if (made.current?.query !== query) {
    made.current?.pager.close();
    made.current = { query, pager: new FactPager(load, () => setChange((count) => count + 1)) };
  }
  useEffect(() => () => made.current?.pager.close(), []);
  return made.current.pager;
}

/** The visible rows of the scrolled element. */
function useWindow(rows: number, query: string) {
  const element = useRef<HTMLDivElement>(null);
  const [scrollTop, setScrollTop] = useState(0);
  const [viewHeight, setViewHeight] = useState(0);
  const view: ListView = { rows, rowHeight, viewHeight };
  const before = useRef(view);
  useLayoutEffect(() => {
    const shown = element.current;
    if (shown === null) return undefined;
    setViewHeight(shown.clientHeight);
    const observer = new ResizeObserver(() => setViewHeight(shown.clientHeight));
    observer.observe(shown);
    return () => observer.disconnect();
  }, [rows > 0]);
  useLayoutEffect(() => {
    setScrollTop(0);
    if (element.current !== null) element.current.scrollTop = 0;
  }, [query]);
  useLayoutEffect(() => {
    const shown = element.current;
    const old = before.current;
    before.current = view;
    // The rows of a very long list move closer together on the scroll bar when it grows; the shown ones stay.
    const first = windowOf(old, scrollTop);
    const isScaled = windowOf(view, 0).height < rows * rowHeight;
    if (shown === null || !isScaled || old.rows === rows) return;
    shown.scrollTop = scrollTopOf(view, first.first + (scrollTop - first.top) / rowHeight);
  }, [rows]);
  const scroll = (): void => setScrollTop(element.current?.scrollTop ?? 0);
  return { element, shown: windowOf(view, scrollTop), canScroll: rows * rowHeight > viewHeight, scroll };
}
