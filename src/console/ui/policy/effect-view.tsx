/** What a policy would change: its tests, unused facts, and logged decisions, as far as the node knows it. */
import { ExplanationView } from "../ask/explanation-view.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { questionText } from "../decisions/logged-decision.ts";
import { texts } from "../texts.ts";
import { policyTexts } from "../texts/policy.ts";
import type { PolicyEffect } from "./effect.ts";
import { failureText, passedTests } from "./marks.ts";
import type { ChangedDecision, Replay } from "./reports.ts";

const words = policyTexts.effect;
/** More cannot be read. The editor and `ostiary test` have all. */
const listedMax = 20;

export function EffectView({ effect, isRunning }: { readonly effect: PolicyEffect; readonly isRunning: boolean }) {
  const { tests, unusedFacts } = effect;
  if (tests === undefined || unusedFacts === undefined) return null;
  const errors = tests.problems.filter(({ severity }) => severity === "error");
  return (
    <>
      <h3>{words.tests}</h3>
      {errors.length > 0 ? (
        <ul class="place-list">
          {errors.slice(0, listedMax).map(({ file, line, column, message }) => (
            <li key={`${file}:${line}:${column} ${message}`} class="error">
              {policyTexts.problems.place(file, line, column)}: {message}
            </li>
          ))}
        </ul>
      ) : (
        <p>
          {tests.tests.length === 0
            ? policyTexts.tests.none
            : policyTexts.tests.summary(passedTests(tests), tests.tests.length)}
        </p>
      )}
      {tests.failures.slice(0, listedMax).map((failure) => (
        <pre key={`${failure.file}:${failure.line}:${failure.column}`}>{failureText(failure)}</pre>
      ))}
      <h3>{words.facts}</h3>
      {unusedFacts.length === 0 ? (
        <p>{words.noUnusedFacts}</p>
      ) : (
        <>
          <ul>
            {unusedFacts.map(({ facts, count }) => (
              <li key={facts}>{words.unusedFacts(count, facts)}</li>
            ))}
          </ul>
          <p class="help">{words.unusedFactsHelp}</p>
        </>
      )}
      <h3>{words.decisions}</h3>
      <Decisions effect={effect} isRunning={isRunning} />
    </>
  );
}

function Decisions({ effect, isRunning }: { readonly effect: PolicyEffect; readonly isRunning: boolean }) {
  const { decisions, examined } = effect;
  if (decisions === undefined)
    return (
      <p role="status">
        {isRunning ? (examined === undefined ? words.waiting : words.progress(examined)) : policyTexts.save.cancelled}
      </p>
    );
  if (decisions === null) return <p>{words.afterErrors}</p>;
  return "omitted" in decisions ? <p>{words.omitted(decisions.omitted)}</p> : <ReplayView replay={decisions} />;
}

function ReplayView({ replay }: { readonly replay: Replay }) {
  const { replayed, changed_count: changedCount, changed, skipped } = replay;
  const { columns } = words;
  const more = changedCount - Math.min(changed.length, listedMax);
  return (
    <>
      <p>{replayed === 0 ? words.noDecisions : words.summary(changedCount, replayed)}</p>
      {changed.length > 0 && (
        <ScrollTable label={words.changed} columns={[columns.time, columns.question, columns.before, columns.after]}>
          {changed.slice(0, listedMax).map((each) => (
            <ChangedRow key={each.decision.id} changed={each} />
          ))}
        </ScrollTable>
      )}
      {more > 0 && <p>{words.more(more)}</p>}
      {skipped.map(({ reason, count }) => (
        <p key={reason} class="help">
          {words.skipped(count, reason)}
        </p>
      ))}
    </>
  );
}

function ChangedRow({ changed: { decision, now, explanation } }: { readonly changed: ChangedDecision }) {
  return (
    <tr>
      <td>
        <Time value={decision.time} hasMs />
      </td>
      <td>
        <code>{questionText(decision)}</code>
        {explanation !== null && (
          <details>
            <summary>{words.why}</summary>
            <ExplanationView explanation={explanation} />
          </details>
        )}
      </td>
      <td>{resultOf(decision)}</td>
      <td>{resultOf(now)}</td>
    </tr>
  );
}

function resultOf({ result, count }: ChangedDecision["now"]): string {
  return result ?? (count === null ? texts.noValue : words.entries(count));
}
