/** A shared question: what a link or a file has, as text, and the way to open it in an environment of its own. */
import { useState } from "preact/hooks";
import { messageOf } from "../api/error-text.ts";
import { type DraftField, draftFields, type QuestionKind } from "../ask/question.ts";
import { Refusal } from "../components/failure.tsx";
import { Heading } from "../components/heading.tsx";
import { Properties } from "../components/properties.tsx";
import { Loading, Remote } from "../components/remote.tsx";
import { formatFact } from "../facts/fact-text.ts";
import type { SharedEnvironmentKind } from "../share/environment-kind.ts";
import { newHostedId, offeredKind, openShared } from "../share/open-environment.ts";
import { unpackText } from "../share/packed-text.ts";
import { readShared, type SharedQuestion, sharedBytesMax } from "../share/shared-question.ts";
import { useAction } from "../state/action.ts";
import { useLoaded } from "../state/loaded.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { shownLogin } from "../state/session.ts";
import { useStore } from "../store.ts";
import { askTexts } from "../texts/ask.ts";
import { shareTexts as words } from "../texts/share.ts";

export default function OpenScreen() {
  const [packed] = useStore(currentRoute).parts;
  const [file, setFile] = useState<File | undefined>(undefined);
  return (
    <>
      <Heading text={words.openTitle} />
      {file !== undefined ? (
        <Shown key={`${file.name} ${file.lastModified}`} name="file" read={() => textOfFile(file)} />
      ) : packed !== undefined ? (
        <Shown key={packed} name={packed} read={() => unpackText(packed)} />
      ) : (
        <p>{words.openIntroduction}</p>
      )}
      <Source onFile={setFile} />
    </>
  );
}

function textOfFile(file: File): Promise<string> {
  if (file.size > sharedBytesMax) throw new Error(words.problems.tooLarge);
  return file.text();
}

function Source({ onFile }: { readonly onFile: (file: File) => void }) {
  const [link, setLink] = useState("");
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const take = (file: File | undefined): void => {
    if (file !== undefined) onFile(file);
  };
  const show = (event: Event): void => {
    event.preventDefault();
    const [, packed] = /#\/open\/([\w-]+)\s*$/.exec(link) ?? [];
    setProblem(packed === undefined ? words.problems.noQuestion : undefined);
    if (packed !== undefined) location.hash = routeTo("open", [packed]);
  };
  return (
    <form
      class="card"
      aria-label={words.openIt}
      onSubmit={show}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        take(event.dataTransfer?.files[0]);
      }}
    >
      <div class="field">
        <label for="shared-file">{words.choose}</label>
        <input
          id="shared-file"
          type="file"
          accept=".json,application/json"
          aria-describedby="shared-file-help"
          onChange={({ currentTarget }) => take(currentTarget.files?.[0])}
        />
        <p id="shared-file-help" class="help">
          {words.chooseHelp}
        </p>
      </div>
      <div class="field">
        <label for="shared-link">{words.pasted}</label>
        <input
          id="shared-link"
          value={link}
          autocomplete="off"
          spellcheck={false}
          aria-describedby="shared-link-help"
          onInput={({ currentTarget }) => setLink(currentTarget.value)}
        />
        <p id="shared-link-help" class="help">
          {words.pastedHelp}
        </p>
      </div>
      <p role="alert" class={problem === undefined ? "" : "failure"}>
        {problem}
      </p>
      <button type="submit">{words.show}</button>
    </form>
  );
}

/** Reads it once; what is wrong with it does not change. */
function Shown({ name, read }: { readonly name: string; readonly read: () => Promise<string> }) {
  const state = useLoaded(name, async () => {
    try {
      return { shared: readShared(await read()) };
    } catch (error) {
      return { problem: messageOf(error) };
    }
  });
  if (state.data === undefined) return <Loading />;
  if ("problem" in state.data)
    return (
      <p role="alert" class="failure">
        {state.data.problem}
      </p>
    );
  return <SharedView shared={state.data.shared} />;
}

function SharedView({ shared }: { readonly shared: SharedQuestion }) {
  const { draft, policy, facts, answer } = shared;
  const answerText =
    typeof answer === "boolean" ? (answer ? words.allowed : words.denied) : answer.join(", ") || words.none;
  return (
    <>
      <section aria-label={words.question}>
        <h2>{words.question}</h2>
        <p>{askTexts.kinds[draft.kind]}</p>
        <Properties
          of={[
            ...draftFields(draft.kind).map((field) => [labelOf(field, draft.kind), draft[field]] as const),
            [words.expected, answerText],
          ]}
        />
        <OpenButton shared={shared} />
      </section>
      {draft.context.length > 0 && <TextBlock title={words.context} text={draft.context.map(formatFact).join("\n")} />}
      <TextBlock title={words.policy} text={policy} />
      <TextBlock title={words.facts(facts.length)} text={facts.map(formatFact).join("\n")} />
    </>
  );
}

function labelOf(field: DraftField, kind: QuestionKind): string {
  const { fields } = askTexts;
  if (field === "type") return kind === "who" ? fields.actorType : fields.resourceType;
  return fields[field];
}

function TextBlock({ title, text }: { readonly title: string; readonly text: string }) {
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <pre class="text" tabIndex={0} role="region" aria-label={title}>
        {text}
      </pre>
    </section>
  );
}

function OpenButton({ shared }: { readonly shared: SharedQuestion }) {
  const login = shownLogin();
  const offered = useLoaded("", async (signal) => ({ kind: await offeredKind(login, signal) }));
  return <Remote of={offered}>{({ kind }) => <OpenIn kind={kind} shared={shared} />}</Remote>;
}

function OpenIn(props: { readonly kind: SharedEnvironmentKind | undefined; readonly shared: SharedQuestion }) {
  const { kind, shared } = props;
  const [id] = useState(newHostedId);
  const { isRunning, error, run } = useAction();
  if (kind === undefined) return <p class="note">{words.cannot}</p>;
  const hosted = kind === "hosted" ? id : undefined;
  return (
    <>
      <p class="help">{hosted === undefined ? words.throwAwayHelp : words.createHelp}</p>
      <button
        type="button"
        class="primary"
        disabled={isRunning}
        onClick={() => run((signal) => openShared(shared, hosted, signal))}
      >
        {isRunning ? words.opening : hosted === undefined ? words.throwAway : words.create(hosted)}
      </button>
      <Refusal error={error} />
    </>
  );
}
