/** The stored facts: filter and scroll them, insert one, delete one, and undo that. */
import type { ComponentChildren } from "preact";
import { useCallback, useState } from "preact/hooks";
import { messageOf } from "../api/error-text.ts";
import { formatNumber } from "../components/format.ts";
import { Heading } from "../components/heading.tsx";
import { Pill } from "../components/pill.tsx";
import { type Suggestions, typesOf, unknownNameIn } from "../facts/completion.ts";
import { changeFact, type FactChanged, useMayChange, useSuggestions } from "../facts/fact-changes.ts";
import { FactField, Field } from "../facts/fact-input.tsx";
import { FactList } from "../facts/fact-list.tsx";
import type { FactsPage } from "../facts/fact-pager.ts";
import { type Fact, factKey, formatFact, formatValue, isObject, parseFact, type Value } from "../facts/fact-text.ts";
import { FactView } from "../facts/fact-view.tsx";
import { type FactsFilter, filterIn, filterProblem, pathOf, queryOf, typeSignatures } from "../facts/filter.ts";
import { useLoaded } from "../state/loaded.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { call, session } from "../state/session.ts";
import { useStore } from "../store.ts";
import { factsTexts } from "../texts/facts.ts";

const words = factsTexts;
const changesShownMax = 20;
const knownValuesMax = 500;
const namesShownMax = 8;

interface Change {
  readonly fact: Fact;
  readonly kind: "inserts" | "deletes";
  readonly hadEffect: boolean;
  readonly isUndone: boolean;
  /** Which name of the fact the policy does not have. */
  readonly hint: string | undefined;
}

export default function FactsScreen() {
  const filter = filterIn(useStore(currentRoute).query);
  const mayChange = useMayChange();
  const suggestions = useSuggestions();
  const counts = useCounts();
  const { known, seen } = useKnownValues();
  const { changes, deleted, version, failure, change, undo, undoDeletion } = useChanges();
  const query = pathOf(filter);
  const load = useCallback(
    async (token: string | null, signal: AbortSignal) => (await call(pathOf(filter, token), { signal })) as FactsPage,
    [query],
  );
  const total = filter.mentions === "" && filter.args === "" ? countOf(counts, filter.predicate) : undefined;
  const controls = (fact: Fact): ComponentChildren => {
    const isDeleted = deleted.has(factKey(fact));
    const label = isDeleted ? words.list.undoDeletion(formatFact(fact)) : words.list.deleteFact(formatFact(fact));
    return (
      <button
        type="button"
        class={isDeleted ? "" : "danger"}
        aria-label={label}
        onClick={() => void (isDeleted ? undoDeletion(fact) : change("deletes", fact))}
      >
        {isDeleted ? words.list.undo : words.list.delete}
      </button>
    );
  };
  return (
    <>
      <Heading text={words.title} />
      <p>{words.introduction}</p>
      <FilterForm key={query} filter={filter} counts={counts} suggestions={suggestions} known={known} />
      {mayChange && <InsertForm suggestions={suggestions} known={known} onInsert={(fact) => change("inserts", fact)} />}
      <div role="alert">{failure !== undefined && <p class="failure">{words.changes.failed(failure)}</p>}</div>
      {changes.length > 0 && <Changes changes={changes} onUndo={undo} />}
      <section aria-label={words.list.title}>
        <h2>{words.list.title}</h2>
        <FactList
          query={`${query} ${version}`}
          load={load}
          total={total}
          controls={mayChange && ((fact) => mayChange(fact) && controls(fact))}
          deleted={deleted}
          onShown={seen}
        />
      </section>
    </>
  );
}

type Counts = Readonly<Record<string, number>>;

interface FilterFormProps {
  readonly filter: FactsFilter;
  readonly counts: Counts | undefined;
  readonly suggestions: Suggestions;
  readonly known: readonly Value[];
}

function FilterForm({ filter, counts, suggestions, known }: FilterFormProps) {
  const [written, setWritten] = useState(filter);
  const problem = filterProblem(written);
  const types = typesOf(suggestions);
  const objects = known.filter(isObject).map(formatValue);
  const show = (wanted: FactsFilter): void => {
    location.hash = routeTo("facts", [], queryOf(wanted));
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    if (problem === undefined) show(written);
  };
  return (
    <section aria-label={words.filter.title}>
      <h2>{words.filter.title}</h2>
      <form onSubmit={submit}>
        <div class="filters">
          <div class="field">
            <label for="predicate">{words.filter.predicate}</label>
            <select
              id="predicate"
              value={written.predicate}
              onChange={({ currentTarget }) => show({ ...written, predicate: currentTarget.value, args: "" })}
            >
              <option value="">{words.filter.allPredicates(formatNumber(countOf(counts, "") ?? 0))}</option>
              {Object.entries({ ...(written.predicate !== "" && { [written.predicate]: 0 }), ...counts }).map(
                ([predicate, count]) => (
                  <option key={predicate} value={predicate}>
                    {words.filter.predicateOf(predicate, formatNumber(count))}
                  </option>
                ),
              )}
            </select>
          </div>
          <Field
            label={words.filter.mentions}
            help={words.filter.mentionsHelp}
            value={written.mentions}
            onInput={(mentions) => setWritten({ ...written, mentions })}
            options={[...types, ...objects]}
          />
          <Field
            label={words.filter.arguments}
            help={words.filter.argumentsHelp}
            value={written.args}
            onInput={(args) => setWritten({ ...written, args })}
            options={typeSignatures(suggestions, written.predicate)}
          />
        </div>
        <div role="alert">{problem && <p class="failure">{problem}</p>}</div>
        <div class="buttons">
          <button type="submit" class="primary">
            {words.filter.apply}
          </button>
          <button type="button" onClick={() => show({ predicate: "", mentions: "", args: "" })}>
            {words.filter.reset}
          </button>
        </div>
      </form>
    </section>
  );
}

interface InsertFormProps {
  readonly suggestions: Suggestions;
  readonly known: readonly Value[];
  readonly onInsert: (fact: Fact) => Promise<boolean>;
}

function InsertForm({ suggestions, known, onInsert }: InsertFormProps) {
  const [written, setWritten] = useState("");
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const fact = parseFact(written);
  const unknown = fact && unknownNameIn(fact, suggestions);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setProblem(fact === undefined ? words.insert.invalid(written) : undefined);
    if (fact !== undefined && (await onInsert(fact))) setWritten("");
  };
  return (
    <section aria-label={words.insert.title}>
      <h2>{words.insert.title}</h2>
      <form onSubmit={(event) => void submit(event)}>
        <FactField
          label={words.insert.fact}
          help={words.insert.factHelp}
          value={written}
          onInput={setWritten}
          suggestions={suggestions}
          known={known}
          required
        />
        <div role="alert">{problem && <p class="failure">{problem}</p>}</div>
        <div role="status">
          {unknown && (
            <p class="warning">{words.insert.unknownName(unknown.name, unknown.known.slice(0, namesShownMax))}</p>
          )}
        </div>
        <div class="buttons">
          <button type="submit">{words.insert.submit(session.value?.environment ?? "")}</button>
        </div>
      </form>
    </section>
  );
}

function Changes({ changes, onUndo }: { readonly changes: readonly Change[]; readonly onUndo: (one: Change) => void }) {
  return (
    <section aria-label={words.changes.title}>
      <h2>{words.changes.title}</h2>
      <ul class="changes" aria-live="polite">
        {changes.map((one, index) => (
          <li key={changes.length - index}>
            <strong>{doneText(one)}</strong> <FactView fact={one.fact} />{" "}
            {one.isUndone ? (
              <span>{words.changes.undone}</span>
            ) : (
              one.hadEffect && (
                <button
                  type="button"
                  aria-label={words.changes.undoOf(formatFact(one.fact))}
                  onClick={() => onUndo(one)}
                >
                  {words.changes.undo}
                </button>
              )
            )}
            {one.hint !== undefined && !one.isUndone && <Pill kind="warn">{words.changes.hint(one.hint)}</Pill>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function doneText({ kind, hadEffect }: Change): string {
  const { inserted, wasThere, deleted, wasGone } = words.changes;
  if (kind === "inserts") return hadEffect ? inserted : wasThere;
  return hadEffect ? deleted : wasGone;
}

/** The changes of this visit, the newest first. */
function useChanges() {
  const [changes, setChanges] = useState<readonly Change[]>([]);
  const [deleted, setDeleted] = useState<ReadonlySet<string>>(new Set());
  const [failure, setFailure] = useState<string | undefined>(undefined);
  /** The list is read anew after an insertion, because the fact may belong anywhere. */
  const [version, setVersion] = useState(0);
  const apply = async (kind: Change["kind"], fact: Fact): Promise<FactChanged | undefined> => {
    setFailure(undefined);
    try {
      const changed = await changeFact(kind, fact);
      const key = factKey(fact);
      const wasShown = deleted.has(key);
      setDeleted((keys) => (kind === "deletes" ? new Set([...keys, key]) : keys.difference(new Set([key]))));
      if (kind === "inserts" && !wasShown) setVersion((count) => count + 1);
      return changed;
    } catch (error) {
      setFailure(messageOf(error));
      return undefined;
    }
  };
  const change = async (kind: Change["kind"], fact: Fact): Promise<boolean> => {
    const changed = await apply(kind, fact);
    if (changed === undefined) return false;
    setChanges((all) => [{ fact, kind, isUndone: false, ...changed }, ...all].slice(0, changesShownMax));
    return true;
  };
  const undo = async (one: Change): Promise<void> => {
    const done = await apply(one.kind === "inserts" ? "deletes" : "inserts", one.fact);
    if (done !== undefined) setChanges((all) => all.map((each) => (each === one ? { ...each, isUndone: true } : each)));
  };
  /** Of the row of a deleted fact. */
  const undoDeletion = async (fact: Fact): Promise<void> => {
    const isOfFact = (one: Change): boolean =>
      one.kind === "deletes" && !one.isUndone && factKey(one.fact) === factKey(fact);
    const one = changes.find(isOfFact);
    // It may not be in the list any more.
    if (one === undefined) await change("inserts", fact);
    else await undo(one);
  };
  return { changes, deleted, failure, version, change, undo: (one: Change) => void undo(one), undoDeletion };
}

/** The values of the facts that were shown, for completion. */
function useKnownValues() {
  const [known, setKnown] = useState<readonly Value[]>([]);
  const seen = useCallback(
    (facts: readonly Fact[]) =>
      setKnown((values) => {
        // Scrolling on would render the inputs again and again.
        if (values.length >= knownValuesMax) return values;
        const all = [...values, ...facts.flatMap(({ args }) => args)];
        const distinct = new Map(all.map((value) => [formatKey(value), value]));
        return distinct.size === values.length ? values : [...distinct.values()].slice(0, knownValuesMax);
      }),
    [],
  );
  return { known, seen };
}

function formatKey({ type, id }: Value): string {
  return `${type} ${id}`;
}

/** Undefined while they are not known. The list says why the node does not answer. */
function useCounts(): Counts | undefined {
  const loaded = useLoaded("stats", async (signal) => {
    const answer = await call("/api/stats", { signal });
    return (answer as { readonly facts: { readonly predicates: Counts } }).facts.predicates;
  });
  return loaded.data;
}

/** The number of facts of a predicate, of all for an empty one. */
function countOf(counts: Counts | undefined, predicate: string): number | undefined {
  if (counts === undefined) return undefined;
  return predicate === "" ? Object.values(counts).reduce((sum, count) => sum + count, 0) : (counts[predicate] ?? 0);
}
