/** The form of a question: its kind, its parts with what completes them, and context facts. */
import { useState } from "preact/hooks";
import { actionsOf, type Suggestions, typesOf } from "../facts/completion.ts";
import { FactField, Field } from "../facts/fact-input.tsx";
import { type Fact, factKey, formatFact, parseFact, type Value } from "../facts/fact-text.ts";
import { FactView } from "../facts/fact-view.tsx";
import { askTexts } from "../texts/ask.ts";
import { type Draft, type DraftField, draftFields, type QuestionKind, questionKinds, questionOf } from "./question.ts";

const words = askTexts;

export interface QuestionFormProps {
  /** What is written at first. */
  readonly asked: Draft;
  readonly suggestions: Suggestions;
  /** The kinds to choose from; by default all. */
  readonly kinds?: readonly QuestionKind[];
  /** Gets a draft that is a question. */
  readonly onAsk: (draft: Draft) => void;
}

export function QuestionForm({ asked, suggestions, kinds = questionKinds, onAsk }: QuestionFormProps) {
  const [draft, setDraft] = useState(asked);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const submit = (event: Event): void => {
    event.preventDefault();
    const question = questionOf(draft);
    setProblem("problem" in question ? question.problem : undefined);
    if (!("problem" in question)) onAsk(draft);
  };
  const change = (field: DraftField) => (value: string) => setDraft({ ...draft, [field]: value });
  return (
    <section aria-label={words.form}>
      <form onSubmit={submit}>
        {kinds.length > 1 && (
          <fieldset class="kinds">
            <legend>{words.kindLabel}</legend>
            {kinds.map((kind) => (
              <label key={kind}>
                <input
                  type="radio"
                  name="kind"
                  checked={draft.kind === kind}
                  onChange={() => setDraft({ ...draft, kind })}
                />{" "}
                {words.kinds[kind]}
              </label>
            ))}
          </fieldset>
        )}
        <div class="filters">
          {draftFields(draft.kind).map((field) =>
            field === "calls" ? (
              <CallsField key={field} value={draft.calls} onInput={change("calls")} />
            ) : (
              <Field
                key={field}
                {...fieldTexts(field, draft)}
                value={draft[field]}
                onInput={change(field)}
                options={
                  field === "action"
                    ? actionsOf(suggestions, draft.resource || draft.type)
                    : typeOptions(field, suggestions)
                }
                required
              />
            ),
          )}
        </div>
        <ContextFacts
          context={draft.context}
          suggestions={suggestions}
          known={valuesIn(draft)}
          onChange={(context) => setDraft({ ...draft, context })}
        />
        <div role="alert">{problem !== undefined && <p class="failure">{problem}</p>}</div>
        <div class="buttons">
          <button type="submit" class="primary">
            {words.submit}
          </button>
        </div>
      </form>
    </section>
  );
}

function fieldTexts(field: Exclude<DraftField, "calls">, { kind }: Draft) {
  const { fields } = words;
  if (field === "type")
    return { label: kind === "who" ? fields.actorType : fields.resourceType, help: fields.typeHelp };
  return { label: fields[field], help: fields[`${field}Help`] };
}

function typeOptions(field: DraftField, suggestions: Suggestions): string[] {
  const types =
    field === "actor" || field === "type"
      ? [...suggestions.actors.map(({ value }) => value), ...typesOf(suggestions)]
      : typesOf(suggestions);
  return [...new Set(types)].map((type) => (field === "type" ? type : `${type}:`));
}

function CallsField({ value, onInput }: { readonly value: string; readonly onInput: (value: string) => void }) {
  return (
    <div class="field">
      <label for="calls">{words.fields.calls}</label>
      <textarea
        id="calls"
        class="fact"
        rows={3}
        required
        spellcheck={false}
        value={value}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
        aria-describedby="calls-help"
      />
      <p id="calls-help" class="help">
        {words.fields.callsHelp}
      </p>
    </div>
  );
}

interface ContextFactsProps {
  readonly context: readonly Fact[];
  readonly suggestions: Suggestions;
  readonly known: readonly Value[];
  readonly onChange: (context: readonly Fact[]) => void;
}

function ContextFacts({ context, suggestions, known, onChange }: ContextFactsProps) {
  const [written, setWritten] = useState("");
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const add = (): void => {
    const fact = parseFact(written);
    setProblem(fact === undefined ? words.context.invalid(written) : undefined);
    if (fact === undefined) return;
    setWritten("");
    onChange([...context, fact]);
  };
  return (
    <details class="context" open={context.length > 0}>
      <summary>{words.context.title}</summary>
      {context.length > 0 && (
        <ul class="changes">
          {context.map((fact) => (
            <li key={factKey(fact)}>
              <FactView fact={fact} />
              <button
                type="button"
                aria-label={words.context.removeFact(formatFact(fact))}
                onClick={() => onChange(context.filter((other) => other !== fact))}
              >
                {words.context.remove}
              </button>
            </li>
          ))}
        </ul>
      )}
      <FactField
        label={words.context.title}
        help={words.context.help}
        value={written}
        onInput={setWritten}
        suggestions={suggestions}
        known={known}
      />
      <div role="alert">{problem !== undefined && <p class="failure">{problem}</p>}</div>
      <button type="button" onClick={add}>
        {words.context.add}
      </button>
    </details>
  );
}

function valuesIn(draft: Draft): Value[] {
  const question = questionOf(draft);
  if ("problem" in question) return [];
  return [...("actor" in question ? [question.actor] : []), ...("resource" in question ? [question.resource] : [])];
}
