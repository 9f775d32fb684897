/** Questions to the node, with context facts: the answer, its reasons, and the question in other forms. */
import { useState } from "preact/hooks";
import { messageOf } from "../api/error-text.ts";
import { type AnswerState, useAnswer } from "../ask/answer.ts";
import { AnswerCard } from "../ask/answer-card.tsx";
import { ExplanationView } from "../ask/explanation-view.tsx";
import { type Explanation, factsIn } from "../ask/explanation.ts";
import {
  type Draft,
  draftIn,
  draftQuery,
  isEmpty,
  type Question,
  questionOf,
  requestOf,
  variablesOf,
} from "../ask/question.ts";
import { QuestionForm } from "../ask/question-form.tsx";
import { Snippet } from "../ask/snippet.tsx";
import { curlCommand, policyTest, typeScriptProgram } from "../ask/snippets.ts";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { Aging, Trouble } from "../components/remote.tsx";
import { formatNumber } from "../components/format.ts";
import { Heading } from "../components/heading.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { changeFact, useMayChange, useSuggestions } from "../facts/fact-changes.ts";
import { type Fact, formatFact, formatValue, isObject, valueParameter } from "../facts/fact-text.ts";
import { FactView, objectRoute } from "../facts/fact-view.tsx";
import { ShareQuestion } from "../share/share-question.tsx";
import { currentRoute, routeTo } from "../state/route.ts";
import { call, session } from "../state/session.ts";
import { useStore } from "../store.ts";
import { askTexts } from "../texts/ask.ts";

const words = askTexts;
/** More rows are shown on demand. */
const rowsShown = 200;
/** A policy test explains so many results. */
const testedResultsMax = 20;

export default function AskScreen() {
  const { parts, query } = useStore(currentRoute);
  const address = `${parts.join("/")}?${query}`;
  const asked = draftIn(parts, query);
  const suggestions = useSuggestions();
  return (
    <>
      <Heading text={words.title} />
      <QuestionForm key={address} asked={asked} suggestions={suggestions} onAsk={ask} />
      {!isEmpty(asked) && <Answer key={`answer ${address}`} draft={asked} />}
    </>
  );
}

function ask(draft: Draft): void {
  location.hash = routeTo("ask", [draft.kind], draftQuery(draft));
}

function Answer({ draft }: { readonly draft: Draft }) {
  const question = questionOf(draft);
  // A link may leave a part for the reader to write.
  if ("problem" in question) return null;
  return <AnswerTo draft={draft} question={question} />;
}

function AnswerTo({ draft, question }: { readonly draft: Draft; readonly question: Question }) {
  const { state, askAgain, more, cancel } = useAnswer(question);
  const { added, hint, failure, add, undo } = useAdded(askAgain);
  const [adding, setAdding] = useState<Fact | undefined>(undefined);
  const mayChange = useMayChange();
  const assume = (fact: Fact): void => ask({ ...draft, context: [...draft.context, fact] });
  return (
    <section aria-label={words.answer}>
      <h2>{words.answer}</h2>
      <Aging atMs={state.atMs} error={state.error} isLoading={state.isPending} onRetry={askAgain}>
        <div role="status">
          {question.kind === "authorize" && state.allowed !== undefined && (
            <AnswerCard question={question} allowed={state.allowed} explanation={state.explanation} isOfNow />
          )}
          <AnswerText state={state} type={"type" in question ? question.type : ""} />
          {state.hint !== undefined && state.explanation === undefined && <p>{state.hint}</p>}
        </div>
        {state.isPending && (
          <button type="button" onClick={cancel}>
            {words.cancel}
          </button>
        )}
        <div role="alert">{failure !== undefined && <p class="failure">{words.changeFailed(failure)}</p>}</div>
        {added && (
          <p role="status">
            {words.added(formatFact(added))}{" "}
            <button type="button" onClick={() => void undo()}>
              {words.undo}
            </button>
          </p>
        )}
        {hint !== undefined && <p class="failure">{hint}</p>}
        {adding && <AddDialog fact={adding} onConfirm={() => add(adding)} onClose={() => setAdding(undefined)} />}
        {state.rows && <Results question={question} state={state} draft={draft} onMore={more} />}
        {state.explanation && (
          <>
            <h3>{state.explanation.allowed ? words.derivation : words.attempts}</h3>
            <ExplanationView
              explanation={state.explanation}
              actions={{ onAssume: assume, onAdd: setAdding, mayAdd: mayChange ?? (() => false) }}
            />
          </>
        )}
      </Aging>
      <Elsewhere question={question} draft={draft} state={state} />
    </section>
  );
}

function AnswerText({ state, type }: { readonly state: AnswerState; readonly type: string }) {
  const { allowed, rows, explanation, isPending, isComplete } = state;
  if (allowed !== undefined) return isPending && explanation === undefined ? <p>{words.explaining}</p> : null;
  if (state.isAnyone === true)
    return (
      <>
        <p>
          <strong>{words.results.anyone}</strong>
        </p>
        <p>{words.results.anyoneHelp(type)}</p>
      </>
    );
  if (rows === undefined) return <p>{isPending && words.asking}</p>;
  if (rows.length === 0) return <p>{isComplete ? words.results.none : words.asking}</p>;
  if (rows[0]?.length === 0) return <p>{words.results.holds}</p>;
  return (
    <p>
      {rows.length === 1 && isComplete
        ? words.results.one
        : words.results.count(formatNumber(rows.length), !isComplete)}
    </p>
  );
}

interface ResultsProps {
  readonly question: Question;
  readonly draft: Draft;
  readonly state: AnswerState;
  readonly onMore: () => void;
}

function Results({ question, draft, state, onMore }: ResultsProps) {
  const [shown, setShown] = useState(rowsShown);
  const rows = state.rows ?? [];
  const columns =
    question.kind === "query"
      ? variablesOf(question.calls).map(({ name }) => name)
      : [words.results.result, words.results.whyColumn];
  if (rows.length === 0 || columns.length === 0) return null;
  const hasMore = shown < rows.length || !state.isComplete;
  const showMore = (): void => {
    if (shown >= rows.length) onMore();
    setShown(shown + rowsShown);
  };
  return (
    <>
      <ScrollTable label={words.results.label} columns={columns}>
        {rows.slice(0, shown).map((row, index) => (
          <tr key={index}>
            {row.map((id, column) => (
              <td key={column} class="fact">
                <ResultView question={question} id={id} column={column} />
              </td>
            ))}
            <ReasonCell question={question} draft={draft} id={row[0]} />
          </tr>
        ))}
      </ScrollTable>
      {hasMore && (
        <button type="button" onClick={showMore} disabled={state.isPending}>
          {words.results.more}
        </button>
      )}
    </>
  );
}

/** An id is a link to its object. */
function ResultView(props: { readonly question: Question; readonly id: string | null; readonly column: number }) {
  const { question, id, column } = props;
  const type = resultType(question, column);
  if (id === null || (id === "*" && question.kind === "list")) return <>{words.results.all(type ?? "")}</>;
  return type === undefined || !isObject({ type }) ? <>{id}</> : <a href={objectRoute({ type, id })}>{id}</a>;
}

/** Undefined for names of actions. */
function resultType(question: Question, column: number): string | undefined {
  if (question.kind === "query") return variablesOf(question.calls)[column]?.type;
  return "type" in question ? question.type : undefined;
}

/** A link to the question why a result is one. There is none for all values of a type, and for queries. */
function ReasonCell(props: {
  readonly question: Question;
  readonly draft: Draft;
  readonly id: string | null | undefined;
}) {
  const { question, draft, id } = props;
  if (question.kind === "query") return null;
  const why =
    id === null || id === undefined || (id === "*" && question.kind === "list")
      ? undefined
      : reasonDraft(question, draft, id);
  return (
    <td>
      {why && (
        <a href={routeTo("ask", [why.kind], draftQuery(why))} aria-label={words.results.why(id ?? "")}>
          {words.results.whyShort}
        </a>
      )}
    </td>
  );
}

/** The question whether one result is allowed. */
function reasonDraft(question: Question, draft: Draft, id: string): Draft {
  const why: Draft = { ...draft, kind: "authorize" };
  if (question.kind === "list") return { ...why, resource: valueParameter({ type: question.type, id }) };
  if (question.kind === "who") return { ...why, actor: valueParameter({ type: question.type, id }) };
  return { ...why, action: id };
}

interface ElsewhereProps {
  readonly question: Question;
  readonly draft: Draft;
  readonly state: AnswerState;
}

/** The question as a link, a command, a program and a test. */
function Elsewhere({ question, draft, state }: ElsewhereProps) {
  const page = location.href.replace(/#.*/s, "");
  const baseUrl = new URL("../", page).href;
  const { share } = words;
  return (
    <section aria-label={share.title}>
      <h3>{share.title}</h3>
      <Snippet title={share.link} text={page + routeTo("ask", [draft.kind], draftQuery(draft))} help={share.linkHelp} />
      <ShareQuestion question={question} draft={draft} />
      <Snippet title={share.curl} text={curlCommand(question, baseUrl)} />
      <Snippet title={share.typeScript} text={typeScriptProgram(question, baseUrl)} help={share.typeScriptHelp} />
      {state.isComplete && state.isAnyone !== true && <TestSnippet question={question} draft={draft} state={state} />}
    </section>
  );
}

function TestSnippet({ question, draft, state }: ElsewhereProps) {
  const { share } = words;
  const [facts, setFacts] = useState<readonly Fact[] | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const ids = (state.rows ?? []).flatMap(([id]) => id ?? []);
  const known =
    state.explanation !== undefined
      ? factsIn(state.explanation)
      : question.kind === "query" || ids.length === 0
        ? []
        : facts;
  const make = async (): Promise<void> => {
    try {
      const found = await Promise.all(
        ids.map(async (id) => {
          const why = questionOf(reasonDraft(question, draft, id));
          if ("problem" in why) return [];
          const { body } = requestOf(why);
          return factsIn((await call("/api/explain", { method: "POST", body })) as Explanation);
        }),
      );
      setFacts(found.flat());
    } catch (thrown) {
      setError(thrown);
    }
  };
  if (question.kind === "authorize" && state.explanation === undefined) return null;
  if (known === undefined && ids.length > testedResultsMax)
    return <p class="help">{share.tooManyResults(testedResultsMax)}</p>;
  if (known === undefined)
    return (
      <>
        <button type="button" onClick={() => void make()}>
          {share.makeTest}
        </button>
        {error !== undefined && <Trouble error={error} onRetry={() => void make()} />}
      </>
    );
  const answer = state.explanation?.allowed ?? (question.kind === "query" ? (state.rows ?? []).length > 0 : ids);
  const test = policyTest(question, known, answer);
  const help = question.kind === "query" ? share.testOfQueryHelp : share.testHelp;
  return test === undefined ? null : <Snippet title={share.test} text={test} help={help} />;
}

interface AddDialogProps {
  readonly fact: Fact;
  readonly onConfirm: () => Promise<void>;
  readonly onClose: () => void;
}

/** Says what the fact gives to whom before it is stored: an explanation names it, but nobody has decided on it. */
function AddDialog({ fact, onConfirm, onClose }: AddDialogProps) {
  const environment = session.value?.environment ?? "";
  return (
    <ConfirmDialog
      title={words.adding.title}
      confirm={words.adding.confirm(environment)}
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <p>{words.adding.fact(environment)}</p>
      <p>
        <FactView fact={fact} />
      </p>
      <p>{grantOf(fact)}</p>
    </ConfirmDialog>
  );
}

function grantOf({ predicate, args: [first, name, third] }: Fact): string {
  const { adding } = words;
  if (first === undefined || name?.type !== "String") return adding.other;
  if (predicate === "has_role" && third === undefined) return adding.globalRole(formatValue(first), name.id);
  if (third === undefined) return adding.other;
  if (predicate === "has_role") return adding.role(formatValue(first), name.id, formatValue(third));
  return predicate === "has_relation" ? adding.relation(formatValue(first), name.id, formatValue(third)) : adding.other;
}

/** A fact that was stored for the question, which is asked again then. */
function useAdded(askAgain: () => void) {
  const [added, setAdded] = useState<Fact | undefined>(undefined);
  const [hint, setHint] = useState<string | undefined>(undefined);
  const [failure, setFailure] = useState<string | undefined>(undefined);
  const change = async (kind: "inserts" | "deletes", fact: Fact): Promise<void> => {
    setFailure(undefined);
    try {
      const changed = await changeFact(kind, fact);
      setAdded(kind === "inserts" && changed.hadEffect ? fact : undefined);
      setHint(changed.hint);
      askAgain();
    } catch (error) {
      setFailure(messageOf(error));
    }
  };
  return {
    added,
    hint,
    failure,
    add: (fact: Fact) => change("inserts", fact),
    undo: async () => added && change("deletes", added),
  };
}
