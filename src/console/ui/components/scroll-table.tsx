/** A table that scrolls inside its own region, also with the keyboard. On phones each row is a card. */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export interface ScrollTableProps {
  /** The name of the region. */
  readonly label: string;
  readonly columns: readonly string[];
  /** Rows of the body. */
  readonly children: ComponentChildren;
}

export function ScrollTable({ label, columns, children }: ScrollTableProps) {
  const body = useRef<HTMLTableSectionElement>(null);
  // The values of a card say their column, which the style sheet shows.
  useLayoutEffect(() => {
    for (const row of body.current?.rows ?? [])
      for (const [index, name] of columns.entries()) {
        const value = row.children[index];
        if (value instanceof HTMLTableCellElement && value.colSpan === 1) value.dataset["label"] = name;
      }
  });
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table data-cards>
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body}>{children}</tbody>
      </table>
    </div>
  );
}
