/** The answer to a question of permission as a card: Allowed or Denied, the shortest reason as a sentence, and the way as a picture. */
import { Icon } from "../components/icon.tsx";
import { type Fact, formatFact, formatValue } from "../facts/fact-text.ts";
import { ValueView } from "../facts/fact-view.tsx";
import { useLoaded } from "../state/loaded.ts";
import { call } from "../state/session.ts";
import { reasonTexts as words } from "../texts/reason.ts";
import type { Explanation } from "./explanation.ts";
import { type AuthorizeQuestion, requestOf } from "./question.ts";
import { nearestAttempts, type PermissionReason, permissionReason, wayText } from "./reason.ts";

export interface AnswerCardProps {
  readonly question: AuthorizeQuestion;
  readonly allowed: boolean;
  /** Undefined while it is looked for. */
  readonly explanation: Explanation | undefined;
  /** Whether the stored facts of now gave the answer, so that a missing fact can be tried as a context fact. */
  readonly isOfNow: boolean;
}

export function AnswerCard({ question, allowed, explanation, isOfNow }: AnswerCardProps) {
  const [actor, resource] = [formatValue(question.actor), formatValue(question.resource)];
  const reason = explanation && permissionReason(explanation, question.actor, question.resource);
  return (
    <div class={`card answer-card ${allowed ? "is-allowed" : "is-denied"}`}>
      <p class="verdict">
        <Icon name={allowed ? "good" : "bad"} />
        <strong>{allowed ? words.allowed : words.denied}</strong>
      </p>
      <p>
        {(allowed ? words.may : words.mayNot)(actor, question.action, resource)} {reason && sentenceOf(actor, reason)}
        {explanation !== undefined && !allowed && isOfNow && <Miss question={question} explanation={explanation} />}
      </p>
      {reason && reason.way.length > 0 && <Way way={reason.way} role={reason.role} />}
    </div>
  );
}

const factsShown = 2;

function sentenceOf(actor: string, { way, others, wide, conditions, isCut }: PermissionReason): string {
  const hasWay = way.length > 0;
  const facts = [...others.map(formatFact), ...wide];
  const shown = hasWay ? [] : facts.slice(0, factsShown);
  const more = facts.length - shown.length + conditions;
  const reason = hasWay
    ? words.because(actor, wayText(way))
    : shown.length > 0
      ? words.becauseFacts(shown.join(", "))
      : isCut
        ? words.cut
        : words.noFacts;
  return more > 0 ? `${reason} ${words.and(more)}` : reason;
}

/** What would have to be true. The node says whether one fact is enough: it is asked again with it as a context fact. */
function Miss({ question, explanation }: { readonly question: AuthorizeQuestion; readonly explanation: Explanation }) {
  const { candidates, excluded } = nearestAttempts(explanation);
  const { data, error } = useLoaded(`miss ${candidates.map(formatFact).join()}`, async (signal) => {
    for (const fact of candidates) if (await isEnough(question, fact, signal)) return { fact };
    return { fact: undefined };
  });
  if (error !== undefined) return null;
  if (data === undefined) return <>{words.trying}</>;
  if (data.fact !== undefined) return <>{words.wouldBe(formatFact(data.fact))}</>;
  return <>{excluded === undefined ? words.lacks : words.excluded(excluded)}</>;
}

async function isEnough(question: AuthorizeQuestion, fact: Fact, signal: AbortSignal): Promise<boolean> {
  const { path, body } = requestOf({ ...question, context: [...question.context, fact] });
  return ((await call(path, { method: "POST", body, signal })) as { readonly allowed: boolean }).allowed;
}

/** The objects in their order, with what connects them. */
function Way({ way, role }: Pick<PermissionReason, "way" | "role">) {
  const [first] = way;
  const last = way.at(-1);
  return (
    <ol class="way" aria-label={words.way}>
      {first && (
        <li>
          <span class="fact box">
            <ValueView value={first.from} />
          </span>
        </li>
      )}
      {way.map(({ to, says, label, isReversed, fact }) => (
        <li key={formatFact(fact)}>
          <span class="hidden">{says}</span>
          <span class={isReversed ? "arrow is-reversed" : "arrow"} aria-hidden="true" title={formatFact(fact)}>
            {label}
            <Icon name="arrow" />
          </span>
          <span class="fact box">
            <ValueView value={to} />
          </span>
        </li>
      ))}
      {role !== undefined && last && (
        <li>
          <Icon name="arrow" />
          <span class="fact box is-role">{words.roleOn(role, formatValue(last.to))}</span>
        </li>
      )}
    </ol>
  );
}
