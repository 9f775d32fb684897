/** A question with its policy and facts as a link or a file: first what will be in it, then both. */
import { useState } from "preact/hooks";
import { factsIn, type Explanation } from "../ask/explanation.ts";
import { type Draft, type Question, requestOf } from "../ask/question.ts";
import { Snippet } from "../ask/snippet.tsx";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { Remote } from "../components/remote.tsx";
import { saveFile } from "../components/save-file.ts";
import type { FactsPage } from "../facts/fact-pager.ts";
import { type Fact, factKey } from "../facts/fact-text.ts";
import { answerIn } from "../start/shown-answer.ts";
import { activePolicy } from "../state/environment-content.ts";
import { useLoaded } from "../state/loaded.ts";
import { routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { shareTexts as words } from "../texts/share.ts";
import { packText } from "./packed-text.ts";
import { type SharedQuestion, sharedFactsMax, writeShared } from "./shared-question.ts";

/** Longer links are cut by mail programs and chats. */
const linkBytesMax = 8192;

interface Content extends Omit<SharedQuestion, "facts"> {
  /** On which the answer depends; undefined if that is not known. */
  readonly needed: readonly Fact[] | undefined;
  /** Undefined if there are too many. */
  readonly all: readonly Fact[] | undefined;
}

interface Shared {
  readonly text: string;
  /** Undefined if it would be too long. */
  readonly link: string | undefined;
}

export function ShareQuestion({ question, draft }: { readonly question: Question; readonly draft: Draft }) {
  const [isAsking, setIsAsking] = useState(false);
  const [shared, setShared] = useState<Shared | undefined>(undefined);
  return (
    <>
      <button type="button" onClick={() => setIsAsking(true)}>
        {words.share}
      </button>
      {isAsking && (
        <ShareDialog question={question} draft={draft} onShared={setShared} onClose={() => setIsAsking(false)} />
      )}
      <div role="status">
        {shared !== undefined && (
          <>
            {shared.link === undefined ? (
              <p>{words.linkTooLong}</p>
            ) : (
              <Snippet title={words.link} text={shared.link} help={words.linkHelp} />
            )}
            <button
              type="button"
              onClick={() => saveFile(new Blob([shared.text], { type: "application/json" }), words.fileName)}
            >
              {words.save}
            </button>
          </>
        )}
      </div>
    </>
  );
}

interface ShareDialogProps {
  readonly question: Question;
  readonly draft: Draft;
  readonly onShared: (shared: Shared) => void;
  readonly onClose: () => void;
}

function ShareDialog({ question, draft, onShared, onClose }: ShareDialogProps) {
  const [withAll, setWithAll] = useState(false);
  const content = useLoaded("", (signal) => contentOf(question, draft, signal));
  const facts = content.data && chosenFacts(content.data, withAll);
  const text = content.data && facts && writeShared({ ...content.data, facts });
  return (
    <ConfirmDialog
      title={words.shareTitle}
      confirm={words.make}
      onConfirm={async () => {
        // It stays open until the content is there.
        if (text === undefined) throw new Error(words.tooManyFacts(sharedFactsMax));
        const packed = await packText(text);
        const link = location.href.replace(/#.*/s, "") + routeTo("open", [packed]);
        onShared({ text, link: packed.length > linkBytesMax ? undefined : link });
      }}
      onClose={onClose}
    >
      <p>{words.shareHelp}</p>
      <Remote of={content}>
        {({ needed, all }) => (
          <>
            <fieldset class="kinds">
              <legend>{words.whichFacts}</legend>
              {needed && (
                <label>
                  <input type="radio" name="facts" checked={!withAll} onChange={() => setWithAll(false)} />{" "}
                  {words.factsOfAnswer(needed.length)}
                </label>
              )}
              {all ? (
                <label>
                  <input
                    type="radio"
                    name="facts"
                    checked={withAll || needed === undefined}
                    onChange={() => setWithAll(true)}
                  />{" "}
                  {words.allFacts(all.length)}
                </label>
              ) : (
                <p>{words.tooManyFacts(sharedFactsMax)}</p>
              )}
            </fieldset>
            {text !== undefined && (
              <pre class="text" tabIndex={0} role="region" aria-label={words.contents}>
                {text.replaceAll("\\n", "\n")}
              </pre>
            )}
          </>
        )}
      </Remote>
    </ConfirmDialog>
  );
}

function chosenFacts({ needed, all }: Content, withAll: boolean): readonly Fact[] | undefined {
  return withAll ? all : (needed ?? all);
}

async function contentOf(question: Question, draft: Draft, signal: AbortSignal): Promise<Content> {
  const { path, body } = requestOf(question);
  const [policy, response, facts, explained] = await Promise.all([
    activePolicy(call, signal),
    call(path, { method: "POST", body, signal }),
    call(`/api/facts?page_size=${sharedFactsMax}`, { signal }) as Promise<FactsPage>,
    question.kind === "authorize"
      ? (call("/api/explain", { method: "POST", body, signal }) as Promise<Explanation>)
      : undefined,
  ]);
  const context = new Set(draft.context.map(factKey));
  return {
    ...{ draft, policy: policy ?? "", answer: answerIn(question, response) },
    needed: explained && factsIn(explained).filter((fact) => !context.has(factKey(fact))),
    all: facts.next_page_token === null ? facts.results : undefined,
  };
}
