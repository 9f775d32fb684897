/** Inputs of the screens about facts: a field with a label and help, and a fact. Both complete ids that the node knows. */
import { useId, useState } from "preact/hooks";
import { Combobox } from "../components/combobox.tsx";
import { completionsOf, type Suggestions } from "./completion.ts";
import type { Value } from "./fact-text.ts";
import { useIds } from "./use-ids.ts";
import { textsWith, wantedIds } from "./wanted-ids.ts";

export interface FieldProps {
  readonly label: string;
  readonly help?: string | undefined;
  readonly value: string;
  readonly onInput: (value: string) => void;
  /** What is offered beside ids; without it nothing is. */
  readonly options?: readonly string[];
  readonly required?: boolean;
}

export function Field({ options, ...field }: FieldProps) {
  const { text, ids, onInput } = useCompletedText(field, options !== undefined);
  const wanted = wantedIds(text);
  const offered = options && [...options, ...(wanted === undefined ? [] : textsWith(wanted, ids))];
  return <LabelledInput {...field} onInput={onInput} options={offered} />;
}

export interface FactFieldProps extends Omit<FieldProps, "options"> {
  readonly suggestions: Suggestions;
  /** Values to complete ids with. */
  readonly known: readonly Value[];
}

export function FactField({ suggestions, known, ...field }: FactFieldProps) {
  const { ids, onInput } = useCompletedText(field, true);
  const options = completionsOf(field.value, suggestions, [...ids, ...known]);
  return <LabelledInput {...field} onInput={onInput} options={options} />;
}

/** The node is asked for ids when somebody types, not for what a form has at the beginning. */
function useCompletedText({ value, onInput }: Pick<FieldProps, "value" | "onInput">, isWanted: boolean) {
  const [isTyped, setIsTyped] = useState(false);
  const ids = useIds(value, isWanted && isTyped);
  const type = (text: string): void => {
    setIsTyped(true);
    onInput(text);
  };
  return { text: value, ids, onInput: type };
}

interface LabelledInputProps extends Omit<FieldProps, "options"> {
  readonly options: readonly string[] | undefined;
}

function LabelledInput({ label, help, value, onInput, options, required = false }: LabelledInputProps) {
  const id = useId();
  const describedBy = help && `${id}-help`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {options === undefined ? (
        <input
          id={id}
          value={value}
          onInput={({ currentTarget }) => onInput(currentTarget.value)}
          aria-describedby={describedBy}
          required={required}
          autocomplete="off"
          spellcheck={false}
        />
      ) : (
        <Combobox
          id={id}
          label={label}
          value={value}
          onInput={onInput}
          options={options}
          describedBy={describedBy}
          required={required}
        />
      )}
      {help && (
        <p id={`${id}-help`} class="help">
          {help}
        </p>
      )}
    </div>
  );
}
