/** Inputs of the screens about facts: a field with a label and help, and a fact with completion by the browser's list. */
import { useId } from "preact/hooks";
import { completionsOf, type Suggestions } from "./completion.ts";
import type { Value } from "./fact-text.ts";

export interface FieldProps {
  readonly label: string;
  readonly help?: string | undefined;
  readonly value: string;
  readonly onInput: (value: string) => void;
  /** What the browser offers. */
  readonly options?: readonly string[];
  readonly required?: boolean;
}

export function Field({ label, help, value, onInput, options, required = false }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        value={value}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
        list={options && `${id}-list`}
        aria-describedby={help && `${id}-help`}
        required={required}
        autocomplete="off"
        spellcheck={false}
      />
      {options && (
        <datalist id={`${id}-list`}>
          {options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
      {help && (
        <p id={`${id}-help`} class="help">
          {help}
        </p>
      )}
    </div>
  );
}

export interface FactFieldProps extends Omit<FieldProps, "options"> {
  readonly suggestions: Suggestions;
  /** Values to complete ids with. */
  readonly known: readonly Value[];
}

export function FactField({ suggestions, known, ...field }: FactFieldProps) {
  return <Field {...field} options={completionsOf(field.value, suggestions, known)} />;
}
