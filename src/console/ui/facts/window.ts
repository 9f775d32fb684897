/**
 * The visible part of a long list whose rows have one height. Browsers limit the height of an element, so the rows of a
 * longer list lie closer together on the scroll bar than they are shown.
 */

export interface ListView {
  readonly rows: number;
  readonly rowHeight: number;
  readonly viewHeight: number;
}

export interface ListWindow {
  /** The shown rows: from `first` on, before `end`. */
  readonly first: number;
  readonly end: number;
  /** Pixels from the top of the list to the row `first`. */
  readonly top: number;
  /** The height of the whole list in pixels. */
  readonly height: number;
}

/** Below the limits of all browsers, of which the lowest is 17.8 million. */
export const heightMax = 15_000_000;

/** So many rows more are rendered at each end, so that fast scrolling shows rows. */
const overscan = 8;

export function windowOf(view: ListView, scrollTop: number): ListWindow {
  const { rows, rowHeight, viewHeight } = view;
  const height = heightOf(view);
  const position = positionAt(view, scrollTop);
  const first = Math.max(0, Math.floor(position) - overscan);
  const end = Math.min(rows, Math.ceil(position + viewHeight / rowHeight) + overscan);
  const top = clamp(scrollTop, height - viewHeight) - (position - first) * rowHeight;
  return { first, end, top: Math.max(0, top), height };
}

/** The scroll position at which a row is the first one. */
export function scrollTopOf(view: ListView, row: number): number {
  const last = lastPosition(view);
  return last <= 0 ? 0 : (clamp(row, last) / last) * (heightOf(view) - view.viewHeight);
}

function positionAt(view: ListView, scrollTop: number): number {
  const height = heightOf(view);
  const range = height - view.viewHeight;
  if (range <= 0) return 0;
  const position = clamp(scrollTop, range);
  return height < heightMax ? position / view.rowHeight : (position / range) * lastPosition(view);
}

/** The row at the top, with a fraction, when the list is scrolled to its end. */
function lastPosition({ rows, rowHeight, viewHeight }: ListView): number {
  return Math.max(0, rows - viewHeight / rowHeight);
}

function heightOf({ rows, rowHeight }: ListView): number {
  return Math.min(rows * rowHeight, heightMax);
}

function clamp(value: number, max: number): number {
  return Math.min(Math.max(0, value), Math.max(0, max));
}
