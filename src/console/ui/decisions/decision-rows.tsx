/** Decisions as rows of a table. The question of a row opens in the screen Ask, if the log has all of it. */
import { formatDuration } from "../components/format.ts";
import { Pill } from "../components/pill.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { besideList, routeTo } from "../state/route.ts";
import { texts } from "../texts.ts";
import { decisionsTexts as words } from "../texts/decisions.ts";
import { isOfConsole, questionToAsk, type LoggedDecision, questionText } from "./logged-decision.ts";

export interface DecisionRow {
  readonly decision: LoggedDecision;
  readonly isAfterGap?: boolean;
}

export function DecisionRows({ rows }: { readonly rows: readonly DecisionRow[] }) {
  return (
    <ScrollTable label={words.table} columns={Object.values(words.columns)}>
      {rows.map(({ decision, isAfterGap = false }) => (
        <Row key={decision.id} decision={decision} isAfterGap={isAfterGap} />
      ))}
    </ScrollTable>
  );
}

function Row({ decision, isAfterGap }: Required<DecisionRow>) {
  const { id, time, key, duration_us: duration, dropped_before: dropped } = decision;
  const question = questionText(decision);
  const asked = questionToAsk(decision);
  const link = asked && routeTo("ask", [asked.form], asked.query);
  return (
    <>
      <tr>
        <td>
          <Time value={time} hasMs />
        </td>
        <td>
          <ResultOf decision={decision} />
        </td>
        <th scope="row">{link === undefined ? question : <a href={link}>{question}</a>}</th>
        <td class="nowrap">{formatDuration(duration / 1000)}</td>
        <td>
          {key ?? texts.noValue}
          {isOfConsole(decision) && <span class="note"> {words.ofConsole}</span>}
        </td>
        <td>
          <a href={besideList("decisions", id)} aria-label={words.whyOf(question)}>
            {words.why}
          </a>
        </td>
      </tr>
      {dropped > 0 && <Note text={words.gap(dropped)} />}
      {isAfterGap && <Note text={words.skipped} />}
    </>
  );
}

export function ResultOf({
  decision: { result, count },
}: {
  readonly decision: Pick<LoggedDecision, "result" | "count">;
}) {
  if (result === null) return <>{words.entries(count ?? 0)}</>;
  return <Pill kind={result === "allow" ? "good" : "bad"}>{words[result]}</Pill>;
}

function Note({ text }: { readonly text: string }) {
  return (
    <tr>
      <td colSpan={Object.keys(words.columns).length} class="help">
        {text}
      </td>
    </tr>
  );
}
