/** The first run: samples that are loaded into an empty environment with one click, then their questions with answers. */
import { Refusal } from "../components/failure.tsx";
import { Heading } from "../components/heading.tsx";
import { Pill } from "../components/pill.tsx";
import { Remote } from "../components/remote.tsx";
import { draftQuery, questionOf, requestOf } from "../ask/question.ts";
import { formatFact } from "../facts/fact-text.ts";
import { useMayWrite } from "../policy/policy-access.ts";
import { fillEnvironment } from "../start/fill.ts";
import { type Sample, type SampleQuestion, samples } from "../start/samples.ts";
import { answerIn, type ShownAnswer } from "../start/shown-answer.ts";
import { packText } from "../share/packed-text.ts";
import { writeShared } from "../share/shared-question.ts";
import { useAction } from "../state/action.ts";
import { activePolicy, isEmptyEnvironment } from "../state/environment-content.ts";
import { useLoaded } from "../state/loaded.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { call, type Login, shownLogin } from "../state/session.ts";
import { useStore } from "../store.ts";
import { startTexts as words } from "../texts/start.ts";

export default function StartScreen() {
  const login = shownLogin();
  const [name] = useStore(currentRoute).parts;
  if (login === undefined) return null;
  if (name === undefined) return <SampleList login={login} />;
  const sample = samples.find((each) => each.name === name);
  if (sample === undefined) return <Heading text={words.unknown} />;
  return <SamplePage key={name} sample={sample} login={login} />;
}

function SampleList({ login }: { readonly login: Login }) {
  const isEmpty = useIsEmpty();
  return (
    <>
      <Heading text={words.title} />
      <p>{words.introduction}</p>
      <Remote of={isEmpty}>{(empty) => <LoadHelp isEmpty={empty} login={login} />}</Remote>
      <ul class="samples">
        {samples.map((sample) => (
          <li key={sample.name} class="card">
            <h2>
              <a href={routeTo("start", [sample.name])}>{sample.title}</a>
            </h2>
            <p>{sample.summary}</p>
            <SampleContent sample={sample} />
            {isEmpty.data === false && <OpenElsewhere sample={sample} />}
            {isEmpty.data === true && <LoadButton sample={sample} login={login} />}
          </li>
        ))}
      </ul>
    </>
  );
}

/** Why there is no button. */
function LoadHelp({ isEmpty, login }: { readonly isEmpty: boolean; readonly login: Login }) {
  const mayWrite = useMayWrite(login);
  if (!isEmpty) return <p class="note">{words.notEmpty}</p>;
  return mayWrite === false ? <p class="note">{words.readOnly}</p> : null;
}

interface LoadButtonProps {
  readonly sample: Sample;
  readonly login: Login;
}

function LoadButton({ sample, login }: LoadButtonProps) {
  const { isRunning, error, run } = useAction();
  const { environment } = login.who;
  if (useMayWrite(login) !== true) return null;
  const load = (): void =>
    run(async (signal) => {
      await fillEnvironment(call, { ...sample, filename: `${sample.name}.polar` }, signal);
      location.hash = routeTo("start", [sample.name]);
    });
  return (
    <>
      <button
        type="button"
        class="primary"
        aria-label={words.loadSample(sample.title, environment)}
        disabled={isRunning}
        onClick={load}
      >
        {isRunning ? words.loading : words.load(environment)}
      </button>
      <Refusal error={error} />
    </>
  );
}

/** Leads to the first question as one that somebody shared. */
function OpenElsewhere({ sample: { title, policy, facts, questions } }: { readonly sample: Sample }) {
  const [first] = questions;
  if (first === undefined) return null;
  const show = async (): Promise<void> => {
    location.hash = routeTo("open", [await packText(writeShared({ ...first, policy, facts }))]);
  };
  return (
    <button type="button" aria-label={words.openSampleElsewhere(title)} onClick={() => void show()}>
      {words.openElsewhere}
    </button>
  );
}

function SampleContent({ sample: { title, policy, facts } }: { readonly sample: Sample }) {
  return (
    <>
      <details>
        <summary>{words.policy}</summary>
        <pre class="text" tabIndex={0} role="region" aria-label={words.policyOf(title)}>
          {policy}
        </pre>
      </details>
      <details>
        <summary>{words.facts(facts.length)}</summary>
        <pre class="text" tabIndex={0} role="region" aria-label={words.factsOf(title)}>
          {facts.map(formatFact).join("\n")}
        </pre>
      </details>
    </>
  );
}

/** The questions have answers if the environment has the policy of the sample. */
function SamplePage({ sample, login }: { readonly sample: Sample; readonly login: Login }) {
  const state = useLoaded(sample.name, async (signal) => {
    const [active, isEmpty] = await Promise.all([activePolicy(call, signal), isEmptyEnvironment(call, signal)]);
    return { isLoaded: active === sample.policy, isEmpty };
  });
  return (
    <>
      <Heading text={sample.title} />
      <p>{sample.summary}</p>
      <Remote of={state}>
        {({ isLoaded, isEmpty }) =>
          isLoaded ? (
            <Questions sample={sample} />
          ) : (
            <>
              <LoadHelp isEmpty={isEmpty} login={login} />
              {!isEmpty && <OpenElsewhere sample={sample} />}
              {isEmpty && <LoadButton sample={sample} login={login} />}
            </>
          )
        }
      </Remote>
      <SampleContent sample={sample} />
      <p class="toolbar">
        <a href={routeTo("start")}>{words.allSamples}</a>
      </p>
    </>
  );
}

function Questions({ sample: { name, questions } }: { readonly sample: Sample }) {
  const answers = useLoaded(name, (signal) => Promise.all(questions.map((question) => answerTo(question, signal))));
  return (
    <>
      <section aria-label={words.questions}>
        <h2>{words.questions}</h2>
        <p role="status">{words.loaded}</p>
        <Remote of={answers} lines={questions.length}>
          {(shown) => (
            <ul class="questions">
              {questions.map(({ text, draft }, index) => (
                <li key={text}>
                  <a href={routeTo("ask", [draft.kind], draftQuery(draft))}>{text}</a> <AnswerView of={shown[index]} />
                </li>
              ))}
            </ul>
          )}
        </Remote>
      </section>
      <section aria-label={words.next}>
        <h2>{words.next}</h2>
        <ul>
          <li>
            <a href={routeTo("policy")}>{words.editPolicy}</a>
          </li>
          <li>
            <a href={routeTo("facts")}>{words.showFacts}</a>
          </li>
          <li>
            <a href={routeTo("manual", ["language"])}>{words.toManual}</a>
          </li>
        </ul>
      </section>
    </>
  );
}

async function answerTo({ draft }: SampleQuestion, signal: AbortSignal): Promise<ShownAnswer> {
  const question = questionOf(draft);
  if ("problem" in question) throw new Error(question.problem);
  const { path, body } = requestOf(question);
  return answerIn(question, await call(path, { method: "POST", body, signal }));
}

function AnswerView({ of }: { readonly of: ShownAnswer | undefined }) {
  if (of === undefined) return null;
  if (typeof of === "boolean") return <Pill kind={of ? "good" : "bad"}>{of ? words.allowed : words.denied}</Pill>;
  return <strong>{of.length === 0 ? words.none : of.join(", ")}</strong>;
}

function useIsEmpty() {
  return useLoaded("", (signal) => isEmptyEnvironment(call, signal));
}
