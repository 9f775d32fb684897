/** The conditions of a search. They are a part of the address, so a search is a link. */
import { useRef } from "preact/hooks";
import { localFieldOf, timeOfField } from "../components/times.ts";
import { decisionsTexts as words } from "../texts/decisions.ts";
import { decisionKinds, type FilterName, filterNames, type Filters, filtersIn } from "./filters.ts";

export interface FilterFormProps {
  readonly filters: Filters;
  /** New decisions have no conditions of time. */
  readonly isLive: boolean;
  readonly onChange: (filters: Filters) => void;
}

const rare: readonly FilterName[] = ["key", "request_id", "trace_id", "policy"];
const times: readonly FilterName[] = ["since", "until"];

export function FilterForm({ filters, isLive, onChange }: FilterFormProps) {
  const form = useRef<HTMLFormElement>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const fields = new FormData(form.current ?? undefined);
    const given = filterNames.map((name): [string, string] => {
      const value = fields.get(name);
      const text = typeof value === "string" ? value : (filters[name] ?? "");
      return [name, times.includes(name) && typeof value === "string" ? timeOfField(text) : text];
    });
    onChange(filtersIn(new URLSearchParams(given)));
  };
  const usual = filterNames.filter((name) => !rare.includes(name) && !(isLive && times.includes(name)));
  return (
    <form ref={form} role="search" aria-label={words.filters} onSubmit={submit}>
      <div class="filters">
        {usual.map((name) => (
          <Field key={name} name={name} value={filters[name]} />
        ))}
      </div>
      <details open={rare.some((name) => filters[name] !== undefined)}>
        <summary>{words.more}</summary>
        <div class="filters">
          {rare.map((name) => (
            <Field key={name} name={name} value={filters[name]} />
          ))}
        </div>
      </details>
      <div class="buttons">
        <button type="submit" class="primary">
          {words.search}
        </button>
        <button type="button" onClick={() => onChange({})}>
          {words.clear}
        </button>
      </div>
    </form>
  );
}

function Field({ name, value = "" }: { readonly name: FilterName; readonly value: string | undefined }) {
  return (
    <label>
      {words.fields[name]}
      {name === "result" ? (
        <Choice
          name={name}
          value={value}
          options={[
            ["allow", words.allow],
            ["deny", words.deny],
          ]}
        />
      ) : name === "kind" ? (
        <Choice name={name} value={value} options={decisionKinds.map((kind) => [kind, kind])} />
      ) : name === "since" || name === "until" ? (
        <input type="datetime-local" step="1" name={name} defaultValue={localFieldOf(value)} />
      ) : (
        <input
          name={name}
          autocomplete="off"
          spellcheck={false}
          defaultValue={value}
          placeholder={name in words.placeholders ? words.placeholders[name as keyof typeof words.placeholders] : ""}
        />
      )}
    </label>
  );
}

interface ChoiceProps {
  readonly name: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, label: string])[];
}

function Choice({ name, value, options }: ChoiceProps) {
  return (
    <select name={name}>
      <option value="">{words.any}</option>
      {options.map(([key, label]) => (
        <option key={key} value={key} selected={key === value}>
          {label}
        </option>
      ))}
    </select>
  );
}
