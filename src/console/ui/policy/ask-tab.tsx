/** Questions to the draft: the node answers them on its stored facts, and an answer becomes a test of the policy. */
import { useState } from "preact/hooks";
import { AnswerCard } from "../ask/answer-card.tsx";
import { ExplanationView } from "../ask/explanation-view.tsx";
import { type Explanation, factsIn } from "../ask/explanation.ts";
import { QuestionForm } from "../ask/question-form.tsx";
import { type AuthorizeQuestion, type Draft, draftIn, questionOf, requestOf } from "../ask/question.ts";
import { policyTest } from "../ask/snippets.ts";
import { Refusal } from "../components/failure.tsx";
import type { Fact } from "../facts/fact-text.ts";
import { useSuggestions } from "../facts/fact-changes.ts";
import { useAction } from "../state/action.ts";
import { call } from "../state/session.ts";
import { askTexts } from "../texts/ask.ts";
import { policyTexts } from "../texts/policy.ts";
import { checkedOf, type PolicyFile } from "./files.ts";
import type { PolicyAnswer } from "./reports.ts";

const words = policyTexts.ask;
/** A check waits for its turn and takes up to 20 s. */
const timeoutMs = 60_000;

export interface AskTabProps {
  readonly files: readonly PolicyFile[];
  /** Takes an answer as a test of the draft; undefined for those who may not change it. */
  readonly onTest: ((test: string) => void) | undefined;
}

interface Answered {
  readonly of: readonly PolicyFile[];
  readonly question: AuthorizeQuestion;
  /** Null if the draft has errors. */
  readonly explanation: Explanation | null;
}

export function AskTab({ files, onTest }: AskTabProps) {
  const suggestions = useSuggestions();
  const [asked, setAsked] = useState<Draft>(() => draftIn([], new URLSearchParams()));
  /** Counts how often something else than the form has changed the question. */
  const [turn, setTurn] = useState(0);
  const [answered, setAnswered] = useState<Answered | undefined>(undefined);
  const asking = useAction();
  const ask = (draft: Draft): void => {
    const question = questionOf(draft);
    if ("problem" in question || question.kind !== "authorize") return;
    setAsked(draft);
    asking.run(async (signal) => {
      const body = { ...checkedOf(files), question: requestOf(question).body };
      const answer = (await call("/api/policy_question", { method: "POST", body, signal, timeoutMs })) as PolicyAnswer;
      setAnswered({ of: files, question, explanation: answer.explanation });
    });
  };
  const assume = (fact: Fact): void => {
    ask({ ...asked, context: [...asked.context, fact] });
    setTurn(turn + 1);
  };
  return (
    <>
      <p class="help">{words.help}</p>
      <QuestionForm key={turn} asked={asked} suggestions={suggestions} kinds={["authorize"]} onAsk={ask} />
      {asking.isRunning && (
        <p role="status">
          {askTexts.asking}{" "}
          <button type="button" onClick={asking.cancel}>
            {askTexts.cancel}
          </button>
        </p>
      )}
      <Refusal error={asking.error} />
      {answered && <Answer answered={answered} isOld={answered.of !== files} onAssume={assume} onTest={onTest} />}
    </>
  );
}

interface AnswerProps {
  readonly answered: Answered;
  readonly isOld: boolean;
  readonly onAssume: (fact: Fact) => void;
  readonly onTest: AskTabProps["onTest"];
}

function Answer({ answered: { question, explanation }, isOld, onAssume, onTest }: AnswerProps) {
  if (explanation === null)
    return (
      <p role="status" class="failure">
        {words.broken}
      </p>
    );
  const { allowed } = explanation;
  const test = policyTest(question, factsIn(explanation), allowed);
  return (
    <section aria-label={askTexts.answer}>
      <div role="status">
        {isOld && <p>{policyTexts.tests.old}</p>}
        <AnswerCard question={question} allowed={allowed} explanation={explanation} isOfNow={false} />
      </div>
      {onTest && test !== undefined && (
        <button type="button" onClick={() => onTest(test)}>
          {words.makeTest}
        </button>
      )}
      <h3>{allowed ? askTexts.derivation : askTexts.attempts}</h3>
      <ExplanationView explanation={explanation} actions={{ onAssume, onAdd: () => {}, mayAdd: () => false }} />
    </section>
  );
}
