/** The workbench of the policy: the editor, what the node says about the draft, and a bar with what can be done with it. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { Refusal } from "../components/failure.tsx";
import { Trouble } from "../components/remote.tsx";
import { useRecovery } from "../state/recovery.ts";
import { Pill } from "../components/pill.tsx";
import { useAction } from "../state/action.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { policyTexts } from "../texts/policy.ts";
import { AskTab } from "./ask-tab.tsx";
import { CodeEditor } from "./code-editor.tsx";
import { FileBar } from "./file-bar.tsx";
import {
  checkedOf,
  type Draft,
  isChanged,
  type PolicyFile,
  shownFile,
  type StoredPolicy,
  storedOf,
  withBase,
  withTest,
  withText,
  withTexts,
} from "./files.ts";
import { type Fix, fixedTexts } from "./fixes.ts";
import { Latest } from "./latest.ts";
import { countsByLine, failureNotes, longhandNotes, passedTests } from "./marks.ts";
import type { PolicyNames } from "./names.ts";
import type { Place } from "./places.ts";
import { PreviewTab } from "./preview-tab.tsx";
import { ProblemList } from "./problem-list.tsx";
import type { FormatReport, RulesReport, TestReport, Validation } from "./reports.ts";
import { SaveDialog } from "./save-dialog.tsx";
import { useShortcuts } from "./shortcuts.ts";
import { SidePanel } from "./side-panel.tsx";
import { TestReportView } from "./test-report.tsx";
import type { ActiveVersion } from "./versions.ts";

const words = policyTexts;
const pauseMs = 400;
/** A check waits for its turn and takes up to 20 s. */
const timeoutMs = 60_000;

interface WorkbenchProps {
  readonly draft: Draft;
  /** The active version, as far as it is known. */
  readonly active: ActiveVersion | undefined;
  readonly names: PolicyNames;
  /** Undefined until it is known. */
  readonly mayWrite: boolean | undefined;
  readonly onChange: (update: (draft: Draft) => Draft) => void;
  readonly onReload: () => void;
}

type Tab = "problems" | "tests" | "ask" | "preview";

export function Workbench({ draft, active, names, mayWrite, onChange, onReload }: WorkbenchProps) {
  const { files, base } = draft;
  const shown = shownFile(draft);
  const states = useRef(new Map<number, unknown>());
  const { validation, of: checkedFiles, error: checkError, checkAgain } = useValidation(files);
  const [report, setReport] = useState<{ readonly of: Draft["files"]; readonly report: TestReport } | undefined>(
    undefined,
  );
  const [longhand, setLonghand] = useState<RulesReport | undefined>(undefined);
  const [target, setTarget] = useState<Place | undefined>(undefined);
  const [notice, setNotice] = useState("");
  /** Counts how often all changes were discarded. */
  const [generation, setGeneration] = useState(0);
  const [tab, setTab] = useState<Tab>("problems");
  const [dialog, setDialog] = useState<"save" | "discard" | undefined>(undefined);
  const formatting = useAction();
  const explaining = useAction();
  const testing = useAction();

  const open = (place: Place & { readonly file: string }): void => {
    const file = files.find(({ name }) => name === place.file);
    if (file !== undefined && file.id !== shown.id) onChange((last) => ({ ...last, shown: file.id }));
    setTarget({ line: place.line, column: place.column });
  };
  const { query } = useStore(currentRoute);
  useEffect(() => {
    const line = Number(query.get("line"));
    if (Number.isSafeInteger(line) && line > 0) open({ file: query.get("file") ?? shown.name, line, column: 1 });
  }, [query]);
  const format = (): void =>
    formatting.run(async (signal) => {
      const found = (await post("/api/format", files, {}, signal)) as FormatReport;
      const changed = found.files.flatMap(({ file, text, changed: isNew }) =>
        isNew && text !== undefined ? [[file, text] as const] : [],
      );
      onChange((last) => withTexts(last, files, new Map(changed)));
      setNotice(found.success ? words.formatted(changed.length) : words.notFormatted);
    });
  const explain = (): void => {
    if (longhand !== undefined) return setLonghand(undefined);
    explaining.run(async (signal) => {
      const rules = (await post("/api/explain_rules", files, {}, signal)) as RulesReport;
      setLonghand(rules.success ? rules : undefined);
      const isEmpty = !rules.rules.some(({ file }) => file === shown.name);
      setNotice(!rules.success ? words.longhandFailed : isEmpty ? words.noShorthand : "");
    });
  };
  const testFiles = (tested: Draft["files"]): void => {
    setTab("tests");
    testing.run(async (signal) => {
      const found = (await post("/api/test", tested, { coverage: true }, signal)) as TestReport;
      setReport({ of: tested, report: found });
    });
  };
  const test = (): void => testFiles(files);
  const addTest = (text: string): void => {
    const { draft: next, line } = withTest(draft, text);
    onChange(() => next);
    setTarget({ line, column: 1 });
    testFiles(next.files);
  };

  const fix = (chosen: Fix): void => {
    if (checkedFiles !== files) return setNotice(words.problems.changed);
    onChange((last) => withTexts(last, files, fixedTexts(files, chosen)));
    setNotice(words.problems.fixed(chosen.title));
    const [first] = chosen.edits;
    if (first !== undefined) open(first);
  };

  const problems = useMemo(
    () => validation?.problems.filter(({ file }) => file === shown.name),
    [validation, shown.name],
  );
  const counts = useMemo(
    () => report?.report.coverage && countsByLine(report.report.coverage.counts, shown.name),
    [report, shown.name],
  );
  const notes = useMemo(
    () => [
      ...failureNotes(report?.report.failures ?? [], shown.name),
      ...longhandNotes(longhand?.rules ?? [], shown.name),
    ],
    [report, longhand, shown.name],
  );
  const isEdited = isChanged(draft);
  /** Gives up all changes. */
  const replaceBy = (policy: StoredPolicy | undefined): void => {
    states.current.clear();
    onChange((last) => withBase(last, policy));
    setGeneration(generation + 1);
    onReload();
  };
  const save = (): void => {
    if (!mayWrite) return;
    if (isEdited) setDialog("save");
    else setNotice(words.nothingToSave);
  };
  useShortcuts({ s: save, Enter: test });
  useUnsavedTitle(isEdited);
  return (
    <div class="workbench">
      {base === undefined && <p>{words.none}</p>}
      {mayWrite === false && <p class="help">{words.readOnly}</p>}
      <FileBar draft={draft} mayWrite={mayWrite === true} onChange={onChange} />
      <div class="workbench-panes">
        <CodeEditor
          key={`${generation} ${shown.id} ${mayWrite} ${shown.name}`}
          id={shown.id}
          name={shown.name}
          text={shown.text}
          revision={shown.revision}
          isReadOnly={mayWrite !== true}
          names={names}
          problems={problems ?? []}
          counts={counts}
          notes={notes}
          target={target}
          onFix={mayWrite === true ? fix : undefined}
          states={states.current}
          onChange={(text) => onChange((last) => withText(last, shown.id, text))}
        />
        <SidePanel<Tab>
          label={words.side}
          shown={tab}
          onShow={setTab}
          tabs={[
            {
              name: "problems",
              title: words.problems.title,
              badge: problemBadge(validation),
              content: (
                <>
                  {checkError !== undefined && <Trouble error={checkError} onRetry={checkAgain} />}
                  <ProblemList
                    problems={validation?.problems}
                    onOpen={open}
                    onFix={mayWrite === true ? fix : undefined}
                    isOld={checkedFiles !== files}
                  />
                </>
              ),
            },
            {
              name: "tests",
              title: words.tests.title,
              badge: report && testBadge(report.report),
              content: (
                <>
                  <div class="buttons">
                    {testing.isRunning ? (
                      <button type="button" onClick={testing.cancel}>
                        {words.actions.stopTest}
                      </button>
                    ) : (
                      <button type="button" onClick={test} title={words.shortcuts.test}>
                        {words.actions.test}
                      </button>
                    )}
                    <span role="status">{testing.isRunning && words.tests.running}</span>
                  </div>
                  <Refusal error={testing.error} />
                  {report !== undefined && (
                    <TestReportView report={report.report} isOld={report.of !== files} onOpen={open} />
                  )}
                </>
              ),
            },
            {
              name: "ask",
              title: words.ask.title,
              content: <AskTab files={files} onTest={mayWrite === true ? addTest : undefined} />,
            },
            {
              name: "preview",
              title: words.preview.title,
              content: <PreviewTab files={files} isShown={tab === "preview"} />,
            },
          ]}
        />
      </div>
      <div class="workbench-bar" role="group" aria-label={words.actions.label}>
        {active !== undefined && (
          <a href={routeTo("policy", ["version", String(base?.id ?? active.version.id)])}>
            {words.versions.version(base?.id ?? active.version.id)}
          </a>
        )}
        {isEdited && <Pill kind="warn">{words.unsaved}</Pill>}
        <span role="status" class="workbench-notice">
          {notice}
        </span>
        <button type="button" aria-pressed={longhand !== undefined} disabled={explaining.isRunning} onClick={explain}>
          {words.actions.longhand}
        </button>
        {mayWrite && (
          <>
            <button type="button" disabled={formatting.isRunning} onClick={format}>
              {words.actions.format}
            </button>
            <button type="button" disabled={!isEdited} onClick={() => setDialog("discard")}>
              {words.actions.discard}
            </button>
            <button
              type="button"
              class="primary"
              disabled={!isEdited}
              title={words.shortcuts.save}
              onClick={() => setDialog("save")}
            >
              {words.actions.save}
            </button>
          </>
        )}
      </div>
      <Refusal error={formatting.error ?? explaining.error} />
      {dialog === "discard" && (
        <ConfirmDialog
          title={words.discard.title}
          confirm={words.discard.confirm}
          onConfirm={() => {
            replaceBy(base);
            return Promise.resolve();
          }}
          onClose={() => setDialog(undefined)}
        >
          <p>{words.discard.help}</p>
        </ConfirmDialog>
      )}
      {dialog === "save" && (
        <SaveDialog
          title={words.save.title}
          help={words.save.intro}
          reasonLabel={words.save.message}
          checked={checkedOf(files)}
          source={storedOf(files).src}
          base={base}
          request={{ path: "/api/policy", body: storedOf(files) }}
          onSaved={(message) => {
            setDialog(undefined);
            setNotice(message);
            onChange((last) => ({ ...last, base: storedOf(files) }));
            onReload();
          }}
          onTakeTheirs={replaceBy}
          onGoOn={(theirs) => {
            onChange((last) => ({ ...last, base: theirs }));
            onReload();
          }}
          onClose={() => setDialog(undefined)}
        />
      )}
    </div>
  );
}

function problemBadge(validation: Validation | undefined) {
  const count = validation?.problems.length ?? 0;
  if (count === 0) return undefined;
  const hasErrors = validation?.problems.some(({ severity }) => severity === "error");
  return { kind: hasErrors ? "bad" : "warn", text: String(count) } as const;
}

function testBadge(report: TestReport) {
  const total = report.tests.length;
  const kind = report.success ? "good" : "bad";
  return { kind, text: policyTexts.tests.badge(passedTests(report), total) } as const;
}

/** Marks the title of the page, which the browser shows for other tabs too. */
function useUnsavedTitle(isEdited: boolean): void {
  useEffect(() => {
    const title = texts.title(words.title);
    document.title = isEdited ? words.unsavedTitle(title) : title;
    return () => void (document.title = title);
  }, [isEdited]);
}

interface Checked {
  readonly validation: Validation | undefined;
  /** The files that the validation is of. */
  readonly of: readonly PolicyFile[] | undefined;
  readonly error: unknown;
}

const unchecked: Checked = { validation: undefined, of: undefined, error: undefined };

/** The problems of the files, checked by the node after each pause. */
function useValidation(files: readonly PolicyFile[]): Checked & { readonly checkAgain: () => void } {
  const [checked, setChecked] = useState<Checked>(unchecked);
  const latest = useRef<Latest<readonly PolicyFile[], Checked> | undefined>(undefined);
  useEffect(() => {
    const own = new Latest<readonly PolicyFile[], Checked>(
      pauseMs,
      async (given, signal) => ({
        ...unchecked,
        validation: (await post("/api/validate", given, {}, signal)) as Validation,
        of: given,
      }),
      (result) =>
        setChecked(
          "output" in result
            ? result.output
            : // A text that is too large or too slow to check has an error of its own.
              { ...unchecked, error: result.error },
        ),
    );
    latest.current = own;
    return () => own.stop();
  }, []);
  const checkAgain = (): void => latest.current?.give(files);
  useEffect(checkAgain, [files]);
  useRecovery(checked.error, checkAgain);
  return { ...checked, checkAgain };
}

function post(path: string, files: readonly PolicyFile[], more: object, signal: AbortSignal): Promise<unknown> {
  return call(path, { method: "POST", body: { ...checkedOf(files), ...more }, signal, timeoutMs });
}
