/**
 * The conditions of a list in one line: a menu of conditions with a value to add one, and a chip for each that applies,
 * whose button removes it. Times can be relative, and stay so in the address.
 */
import { useId, useRef, useState } from "preact/hooks";
import { filterTexts as words } from "../texts/filters.ts";
import { Icon } from "./icon.tsx";
import { localTime } from "./times.ts";
import { isRelativeTime, relativeTimes } from "./relative-time.ts";

export interface FilterField {
  /** In the address. */
  readonly name: string;
  readonly label: string;
  /** A text if there is none. `time` takes a time or a relative one. */
  readonly options?: readonly (readonly [value: string, label: string])[];
  readonly isTime?: boolean;
  readonly placeholder?: string;
}

export type FilterValues = Readonly<Record<string, string>>;

export interface FilterBarProps {
  /** The name of the search. */
  readonly label: string;
  readonly fields: readonly FilterField[];
  /** The conditions that apply, by the names of their fields. */
  readonly values: FilterValues;
  readonly onChange: (values: FilterValues) => void;
}

export function FilterBar({ label, fields, values, onChange }: FilterBarProps) {
  const [name, setName] = useState(fields[0]?.name ?? "");
  const form = useRef<HTMLFormElement>(null);
  const menu = useRef<HTMLSelectElement>(null);
  const field = fields.find((each) => each.name === name) ?? fields[0];
  const add = (event: Event): void => {
    event.preventDefault();
    const input = form.current?.elements.namedItem("value");
    const given = new FormData(form.current ?? undefined).get("value");
    const value = typeof given === "string" ? given.trim() : "";
    if (field === undefined || value === "") return;
    onChange({ ...values, [field.name]: field.isTime === true ? timeIn(value) : value });
    if (input instanceof HTMLInputElement) input.value = "";
  };
  // The button that had the focus is gone.
  const remove = (others: FilterValues): void => {
    onChange(others);
    menu.current?.focus();
  };
  const active = fields.filter((each) => values[each.name] !== undefined);
  return (
    <div class="filter-bar">
      <form ref={form} role="search" aria-label={label} onSubmit={add}>
        <select
          ref={menu}
          aria-label={words.condition}
          value={field?.name}
          onChange={({ currentTarget }) => setName(currentTarget.value)}
        >
          {fields.map((each) => (
            <option key={each.name} value={each.name}>
              {each.label}
            </option>
          ))}
        </select>
        {field && <ValueInput key={field.name} field={field} />}
        <button type="submit">
          <Icon name="add" />
          {words.add}
        </button>
      </form>
      {active.length > 0 && (
        <ul class="chips" aria-label={words.active}>
          {active.map((each) => (
            <Chip
              key={each.name}
              field={each}
              value={values[each.name] ?? ""}
              onRemove={() => {
                const { [each.name]: _removed, ...others } = values;
                remove(others);
              }}
            />
          ))}
          {active.length > 1 && (
            <li>
              <button type="button" class="quiet" onClick={() => remove({})}>
                {words.clear}
              </button>
            </li>
          )}
        </ul>
      )}
    </div>
  );
}

function ValueInput({ field: { label, options, isTime, placeholder } }: { readonly field: FilterField }) {
  const [isExact, setIsExact] = useState(false);
  const id = useId();
  if (options !== undefined)
    return (
      <select name="value" aria-label={label}>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    );
  if (isTime !== true)
    return (
      <input
        name="value"
        aria-label={label}
        autocomplete="off"
        spellcheck={false}
        {...(placeholder !== undefined && { placeholder })}
      />
    );
  if (isExact) return <input key="exact" id={id} name="value" type="datetime-local" step="1" aria-label={label} />;
  return (
    <select
      name="value"
      aria-label={label}
      onChange={({ currentTarget }) => setIsExact(currentTarget.value === exactTime)}
    >
      {Object.entries(relativeTimes).map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
      <option value={exactTime}>{words.exact}</option>
    </select>
  );
}

const exactTime = "exact";

/** A field for a local time has no zone. */
function timeIn(value: string): string {
  if (isRelativeTime(value)) return value;
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

interface ChipProps {
  readonly field: FilterField;
  readonly value: string;
  readonly onRemove: () => void;
}

function Chip({ field: { label, options, isTime }, value, onRemove }: ChipProps) {
  const shown = options?.find(([key]) => key === value)?.[1] ?? (isTime === true ? timeText(value) : value);
  const text = words.chip(label, shown);
  return (
    <li class="chip">
      {text}
      <button type="button" class="quiet icon-button" aria-label={words.remove(text)} onClick={onRemove}>
        <Icon name="close" />
      </button>
    </li>
  );
}

function timeText(value: string): string {
  const ms = Date.parse(value);
  return relativeTimes[value] ?? (Number.isNaN(ms) ? value : localTime(ms));
}
