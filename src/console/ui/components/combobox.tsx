/**
 * An input with a list of texts to choose from (ARIA combobox with a listbox). The arrow keys move in the list, Enter
 * takes the marked text, Escape closes the list. Any other text can be typed.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { texts } from "../texts.ts";
import { offeredOf } from "./offered-texts.ts";

export interface ComboboxProps {
  readonly id: string;
  /** Of the input. */
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  /** Those that have the written text are offered. */
  readonly options: readonly string[];
  readonly describedBy?: string | undefined;
  readonly required?: boolean;
}

export function Combobox({ id, label, value, onInput, options, describedBy, required = false }: ComboboxProps) {
  const [isOpen, setIsOpen] = useState(false);
  /** Undefined while the text itself is what counts. */
  const [marked, setMarked] = useState<string | undefined>(undefined);
  const list = useRef<HTMLUListElement>(null);
  const offered = isOpen ? offeredOf(options, value) : [];
  const index = marked === undefined ? -1 : offered.indexOf(marked);
  const isShown = offered.length > 0;
  useEffect(() => {
    list.current?.children.item(index)?.scrollIntoView({ block: "nearest" });
  }, [index]);
  const change = (text: string): void => {
    setMarked(undefined);
    setIsOpen(true);
    onInput(text);
  };
  const move = (step: number): void => {
    setIsOpen(true);
    const texts = offeredOf(options, value);
    const next = index === -1 && step < 0 ? texts.length - 1 : index + step;
    // Behind either end is the text itself.
    setMarked(texts[next]);
  };
  const press = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && isShown && marked !== undefined && index >= 0) {
      event.preventDefault();
      change(marked);
    } else if (event.key === "Escape" && isShown) {
      event.preventDefault();
      // A dialog around it stays.
      event.stopPropagation();
      setIsOpen(false);
    }
  };
  return (
    <div class="combobox">
      <input
        id={id}
        role="combobox"
        aria-expanded={isShown}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={index >= 0 ? `${id}-${index}` : undefined}
        aria-describedby={describedBy}
        value={value}
        required={required}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        onInput={({ currentTarget }) => change(currentTarget.value)}
        onClick={() => setIsOpen(true)}
        onBlur={() => setIsOpen(false)}
        onKeyDown={press}
      />
      <ul ref={list} id={`${id}-list`} role="listbox" aria-label={texts.suggestions(label)} hidden={!isShown}>
        {offered.map((text, place) => (
          <li
            key={text}
            id={`${id}-${place}`}
            role="option"
            aria-selected={place === index}
            // The input keeps the focus.
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => change(text)}
          >
            {text}
          </li>
        ))}
      </ul>
    </div>
  );
}
