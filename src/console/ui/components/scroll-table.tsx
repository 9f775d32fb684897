/** A table that scrolls inside its own region, also with the keyboard. */
import type { ComponentChildren } from "preact";

export interface ScrollTableProps {
  /** The name of the region. */
  readonly label: string;
  readonly columns: readonly string[];
  /** Rows of the body. */
  readonly children: ComponentChildren;
}

export function ScrollTable({ label, columns, children }: ScrollTableProps) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
