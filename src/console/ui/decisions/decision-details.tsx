/** One logged decision, and its explanation on the data, the policy and the clock of its time. */
import type { decisionEndpoints } from "../../../features/decisions/endpoints.ts";
import type { Answer } from "../api/answer.ts";
import { AnswerCard } from "../ask/answer-card.tsx";
import type { Explanation } from "../ask/explanation.ts";
import { ExplanationView } from "../ask/explanation-view.tsx";
import { formatDuration, formatNumber } from "../components/format.ts";
import { Properties } from "../components/properties.tsx";
import { Remote } from "../components/remote.tsx";
import type { Value } from "../facts/fact-text.ts";
import { Time } from "../components/time.tsx";
import { useLoaded } from "../state/loaded.ts";
import { routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { decisionsTexts } from "../texts/decisions.ts";
import { ResultOf } from "./decision-rows.tsx";
import { questionToAsk, factText, isWhole, type LoggedDecision, questionText, valueText } from "./logged-decision.ts";

const words = decisionsTexts.one;
/** The node makes one explanation after another, by default in at most a minute each. */
const timeoutMs = 300_000;

type Explained = Answer<typeof decisionEndpoints.explainDecision>;

export function DecisionDetails({ id }: { readonly id: string }) {
  const explained = useLoaded(
    id,
    (signal) => call(`/api/decisions/${encodeURIComponent(id)}/explain`, { signal, timeoutMs }) as Promise<Explained>,
  );
  return (
    <Remote of={explained} loading={words.waiting}>
      {(found) => <Shown explained={found} />}
    </Remote>
  );
}

function Shown({ explained }: { readonly explained: Explained }) {
  const { decision, explanation, count } = explained;
  const asked = questionToAsk(decision);
  const link = asked && routeTo("ask", [asked.form], asked.query);
  const differs = explained.result !== decision.result || count !== decision.count;
  return (
    <>
      <p>
        <code>{questionText(decision)}</code>
      </p>
      {link !== undefined && (
        <p>
          <a href={link}>{decisionsTexts.ask}</a>
        </p>
      )}
      {!isWhole(decision) && <p class="help">{words.redacted(decision.redacted.join(", "))}</p>}
      <section aria-label={decisionsTexts.columns.details}>
        <DecisionFacts decision={decision} />
      </section>
      <section aria-label={words.explanation}>
        <h3>{words.explanation}</h3>
        <p class="help">
          {words.asOf(formatNumber(decision.offset))} <Time value={decision.time} hasMs />
        </p>
        {differs && <p class="failure">{words.differs}</p>}
        {explanation === null ? (
          <p>{words.listAgain(decisionsTexts.entries(count ?? 0))}</p>
        ) : (
          <>
            <Result explained={explained} explanation={explanation} />
            <ExplanationView explanation={explanation} />
          </>
        )}
      </section>
    </>
  );
}

/** For people, if the log has the whole question. */
function Result({ explained, explanation }: { readonly explained: Explained; readonly explanation: Explanation }) {
  const { decision } = explained;
  const { action } = decision;
  const [actor, resource] = [knownValue(decision.actor), knownValue(decision.resource)];
  if (actor === undefined || action === null || resource === undefined || !isWhole(decision))
    return (
      <p>
        <ResultOf decision={explained} />
      </p>
    );
  const question = { kind: "authorize", actor, action, resource, context: [] } as const;
  return <AnswerCard question={question} allowed={explanation.allowed} explanation={explanation} isOfNow={false} />;
}

/** Undefined if the log has no id of it. */
function knownValue(value: LoggedDecision["actor"]): Value | undefined {
  return value?.id === undefined ? undefined : { type: value.type, id: value.id };
}

/** A link to the trace, if the node records one and the log has its id. */
function traceOf({ trace_id: id, redacted }: LoggedDecision) {
  return id === null || redacted.includes("trace") ? id : <a href={routeTo("traces", [id])}>{id}</a>;
}

function DecisionFacts({ decision }: { readonly decision: LoggedDecision }) {
  const { facts } = words;
  const rows = [
    [facts.id, decision.id],
    [facts.time, <Time key="time" value={decision.time} hasMs as="both" />],
    [facts.result, <ResultOf key="result" decision={decision} />],
    [facts.kind, decision.kind],
    [facts.actor, decision.actor && valueText(decision.actor)],
    [facts.action, decision.action],
    [facts.resource, decision.resource && valueText(decision.resource)],
    [facts.context, decision.context_facts.map(factText).join(", ") || null],
    [facts.policy, decision.policy],
    [facts.offset, formatNumber(decision.offset)],
    [facts.epoch, decision.epoch],
    [facts.duration, formatDuration(decision.duration_us / 1000)],
    [facts.cached, decision.cached ? words.yes : words.no],
    [facts.key, decision.key],
    [facts.request, decision.request_id],
    [facts.trace, traceOf(decision)],
  ] as const;
  return <Properties of={rows} />;
}
