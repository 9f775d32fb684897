/** Names with their values, one beside the other. What has no value is left out. */
import type { ComponentChildren } from "preact";

export interface PropertiesProps {
  readonly of: readonly (readonly [name: string, value: ComponentChildren])[];
}

export function Properties({ of }: PropertiesProps) {
  return (
    <dl class="properties">
      {of.map(([name, value]) =>
        value === null || value === undefined ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  );
}
