/** The explanation of a decision: its derivation as a tree, or for a denial the nearest attempts and what they lack. */
import type { ComponentChildren } from "preact";
import { decisionsTexts } from "../texts/decisions.ts";

const words = decisionsTexts.explanation;

interface Call {
  readonly text: string;
}
interface Rule {
  readonly text: string;
  readonly file: string;
  readonly line: number;
}
type Step =
  | { readonly kind: "fact"; readonly fact: Call; readonly from: "stored" | "context" | "policy" }
  | {
      readonly kind: "rule";
      readonly conclusion: Call;
      readonly rule: Rule | null;
      readonly times: number;
      readonly steps: readonly Step[];
    }
  | { readonly kind: "condition"; readonly text: string }
  | { readonly kind: "again" | "cut"; readonly conclusion: Call };
type Held =
  | { readonly kind: "call"; readonly call: Call; readonly from: "stored" | "context" | "policy" | "derived" | "many" }
  | { readonly kind: "condition"; readonly text: string };
interface Miss {
  readonly call: Call;
  readonly attempts: readonly Attempt[];
  readonly more: boolean;
  readonly again: boolean;
  readonly did_you_mean: string | null;
}
type Missing =
  | ({ readonly kind: "call" } & Miss)
  | { readonly kind: "test"; readonly text: string; readonly because: string | null };
interface Attempt {
  readonly rule: Rule | null;
  readonly held: readonly Held[];
  readonly missing: readonly Missing[];
}

/** As `POST /api/explain` answers; only the members that are shown. */
export interface Explanation {
  readonly allowed: boolean;
  readonly question: Call;
  readonly policy: object | null;
  readonly derivation: Step | null;
  readonly denial: Miss | null;
  readonly unknown: readonly string[];
  readonly truncated: { readonly message: string } | null;
}

export function ExplanationTree({ explanation }: { readonly explanation: Explanation }) {
  const { allowed, question, policy, derivation, denial, unknown, truncated } = explanation;
  return (
    <>
      <p>
        <strong class={allowed ? "good" : "failure"}>{allowed ? words.allowed : words.denied}</strong>{" "}
        <code>{question.text}</code>
      </p>
      {policy === null && <p>{words.noPolicy}</p>}
      {unknown.map((text) => (
        <p key={text}>{text}</p>
      ))}
      <ul class="explanation">
        {derivation !== null && <StepItem step={derivation} />}
        {denial !== null && policy !== null && <MissItem miss={denial} />}
      </ul>
      {truncated !== null && <p class="help">{words.truncated(truncated.message)}</p>}
    </>
  );
}

function StepItem({ step }: { readonly step: Step }) {
  switch (step.kind) {
    case "fact":
      return <Item note={words[step.from]}>{step.fact.text}</Item>;
    case "condition":
      return <Item note={words.holds}>{step.text}</Item>;
    case "rule":
      return (
        <Item note={noteOf(step.rule, step.times)} text={step.conclusion.text}>
          {step.steps.length > 0 && (
            <ul>
              {step.steps.map((each, index) => (
                <StepItem key={index} step={each} />
              ))}
            </ul>
          )}
        </Item>
      );
    default:
      return <Item note={step.kind === "again" ? words.again : words.cut}>{step.conclusion.text}</Item>;
  }
}

function MissItem({ miss }: { readonly miss: Miss }) {
  const { call, attempts, more, again, did_you_mean: hint } = miss;
  const note = [words.missing, ...(again ? [words.again] : []), ...(hint === null ? [] : [words.didYouMean(hint)])];
  return (
    <Item note={note.join(", ")} text={call.text}>
      {(attempts.length > 0 || more) && (
        <ul>
          {attempts.map((attempt, index) => (
            <AttemptItem key={index} attempt={attempt} />
          ))}
          {more && <li>{words.moreRules}</li>}
        </ul>
      )}
    </Item>
  );
}

function AttemptItem({ attempt: { rule, held, missing } }: { readonly attempt: Attempt }) {
  const conditions = (
    <ul>
      {held.map((each, index) => (
        <Item key={index} note={each.kind === "condition" ? words.holds : `${words.holds}, ${words[each.from]}`}>
          {each.kind === "condition" ? each.text : each.call.text}
        </Item>
      ))}
      {missing.map((each, index) =>
        each.kind === "call" ? (
          <MissItem key={index} miss={each} />
        ) : (
          <Item
            key={index}
            note={each.because === null ? words.fails : `${words.fails}: ${words.because(each.because)}`}
          >
            {each.text}
          </Item>
        ),
      )}
    </ul>
  );
  // The default rules have no text, so their conditions are shown in their place.
  return rule === null ? (
    <li>{conditions}</li>
  ) : (
    <Item note={noteOf(rule, 1)} text={rule.text}>
      {conditions}
    </Item>
  );
}

/** `text` or the children are code; with `text`, the children are what follows from it. */
function Item(props: { readonly note: string; readonly text?: string; readonly children: ComponentChildren }) {
  const { note, text, children } = props;
  return (
    <li>
      <code>{text ?? children}</code> {note !== "" && <span class="note">{note}</span>}
      {text !== undefined && children}
    </li>
  );
}

function noteOf(rule: Rule | null, times: number): string {
  const place = rule === null ? [] : [words.place(rule.file, rule.line)];
  return [...place, ...(times > 1 ? [words.times(times)] : [])].join(", ");
}
