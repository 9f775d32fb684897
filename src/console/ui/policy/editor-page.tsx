/** The editor of the policy: files, problems while typing, formatting, longhand, tests, and saving. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/node-api.ts";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { Failure, Refusal } from "../components/failure.tsx";
import { useAction } from "../state/action.ts";
import { useLoaded } from "../state/loaded.ts";
import { currentRoute } from "../state/route.ts";
import { call, type Login } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { policyTexts } from "../texts/policy.ts";
import { CodeEditor } from "./code-editor.tsx";
import { storeDraft, storedDraft } from "./drafts.ts";
import { FileBar } from "./file-bar.tsx";
import {
  checkedOf,
  type Draft,
  draftOf,
  isChanged,
  type PolicyFile,
  shownFile,
  type StoredPolicy,
  storedOf,
  withText,
  withTexts,
} from "./files.ts";
import { Latest } from "./latest.ts";
import { countsByLine, failureNotes, longhandNotes } from "./marks.ts";
import { namesOfMetadata, noNames, type PolicyMetadata, type PolicyNames } from "./names.ts";
import type { Place } from "./places.ts";
import { useMayWrite } from "./policy-access.ts";
import { ProblemList } from "./problem-list.tsx";
import type { FormatReport, RulesReport, TestReport, Validation } from "./reports.ts";
import { SaveDialog } from "./save-dialog.tsx";
import { TestReportView } from "./test-report.tsx";

const words = policyTexts;
const pauseMs = 400;
/** A check waits for its turn and takes up to 20 s. */
const timeoutMs = 60_000;

export function EditorPage({ login }: { readonly login: Login }) {
  const { environment } = login.who;
  const mayWrite = useMayWrite(login);
  const loaded = useLoaded(`${environment} ${login.who.id}`, loadPolicy);
  const [draft, setDraft] = useState(() => storedDraft(environment));
  // The stored draft is the newest one: that of a rendering may be behind it.
  const change = (update: (draft: Draft) => Draft): void => {
    const next = update(storedDraft(environment) ?? draftOf(undefined));
    storeDraft(environment, next);
    setDraft(next);
  };
  useEffect(() => {
    // Changes that are not saved stay.
    const { data } = loaded;
    if (data !== undefined && (draft === undefined || !isChanged(draft))) change(() => draftOf(data.policy));
  }, [loaded.data]);
  if (draft === undefined)
    return loaded.error === undefined ? <p>{texts.loading}</p> : <Failure error={loaded.error} />;
  return (
    <>
      <Failure error={loaded.error} />
      <Workbench
        draft={draft}
        names={loaded.data?.names ?? noNames}
        mayWrite={mayWrite}
        onChange={change}
        onReload={loaded.reload}
      />
    </>
  );
}

interface LoadedPolicy {
  readonly policy: StoredPolicy | undefined;
  readonly names: PolicyNames;
}

async function loadPolicy(signal: AbortSignal): Promise<LoadedPolicy> {
  const { policy } = (await call("/api/policy", { signal })) as { readonly policy: StoredPolicy | null };
  if (policy === null) return { policy: undefined, names: noNames };
  const [{ metadata }, { suggestions }] = (await Promise.all([
    call("/api/policy_metadata", { signal }),
    call("/api/autocomplete_info", { signal }),
  ])) as [{ readonly metadata: PolicyMetadata }, { readonly suggestions: Readonly<Record<string, unknown>> }];
  return { policy, names: namesOfMetadata(metadata, Object.keys(suggestions)) };
}

interface WorkbenchProps {
  readonly draft: Draft;
  readonly names: PolicyNames;
  /** Undefined until it is known. */
  readonly mayWrite: boolean | undefined;
  readonly onChange: (update: (draft: Draft) => Draft) => void;
  readonly onReload: () => void;
}

function Workbench({ draft, names, mayWrite, onChange, onReload }: WorkbenchProps) {
  const { files, base } = draft;
  const shown = shownFile(draft);
  const states = useRef(new Map<number, unknown>());
  const { validation, error: checkError } = useValidation(files);
  const [report, setReport] = useState<{ readonly of: Draft["files"]; readonly report: TestReport } | undefined>(
    undefined,
  );
  const [longhand, setLonghand] = useState<RulesReport | undefined>(undefined);
  const [target, setTarget] = useState<Place | undefined>(undefined);
  const [notice, setNotice] = useState("");
  /** Counts how often all changes were discarded. */
  const [generation, setGeneration] = useState(0);
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
  const test = (): void =>
    testing.run(async (signal) => {
      const found = (await post("/api/test", files, { coverage: true }, signal)) as TestReport;
      setReport({ of: files, report: found });
    });

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
  return (
    <>
      {base === undefined && <p>{words.none}</p>}
      {mayWrite === false && <p class="help">{words.readOnly}</p>}
      <FileBar draft={draft} mayWrite={mayWrite === true} onChange={onChange} />
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
        states={states.current}
        onChange={(text) => onChange((last) => withText(last, shown.id, text))}
      />
      <div class="toolbar" role="group" aria-label={words.actions.label}>
        <button type="button" disabled={testing.isRunning} onClick={test}>
          {words.actions.test}
        </button>
        {testing.isRunning && (
          <button type="button" onClick={testing.cancel}>
            {words.actions.stopTest}
          </button>
        )}
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
            <button type="button" class="primary" disabled={!isEdited} onClick={() => setDialog("save")}>
              {words.actions.save}
            </button>
          </>
        )}
      </div>
      <p role="status">{testing.isRunning ? words.tests.running : notice}</p>
      <Failure error={checkError} />
      <Refusal error={formatting.error ?? explaining.error ?? testing.error} />
      {report !== undefined && <TestReportView report={report.report} isOld={report.of !== files} onOpen={open} />}
      <ProblemList problems={validation?.problems} onOpen={open} />
      {dialog === "discard" && (
        <ConfirmDialog
          title={words.discard.title}
          confirm={words.discard.confirm}
          onConfirm={() => {
            states.current.clear();
            onChange(() => draftOf(base));
            setGeneration(generation + 1);
            onReload();
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
          }}
          onClose={() => setDialog(undefined)}
        />
      )}
    </>
  );
}

interface Checked {
  readonly validation: Validation | undefined;
  readonly error: unknown;
}

/** The problems of the files, checked by the node after each pause. */
function useValidation(files: readonly PolicyFile[]): Checked {
  const [checked, setChecked] = useState<Checked>({ validation: undefined, error: undefined });
  const latest = useRef<Latest<readonly PolicyFile[], Validation> | undefined>(undefined);
  useEffect(() => {
    const own = new Latest<readonly PolicyFile[], Validation>(
      pauseMs,
      async (given, signal) => (await post("/api/validate", given, {}, signal)) as Validation,
      (result) =>
        setChecked(
          "output" in result
            ? { validation: result.output, error: undefined }
            : // A text that is too large or too slow to check has an error of its own.
              { validation: undefined, error: result.error instanceof ApiError ? result.error : undefined },
        ),
    );
    latest.current = own;
    return () => own.stop();
  }, []);
  useEffect(() => latest.current?.give(files), [files]);
  return checked;
}

function post(path: string, files: readonly PolicyFile[], more: object, signal: AbortSignal): Promise<unknown> {
  return call(path, { method: "POST", body: { ...checkedOf(files), ...more }, signal, timeoutMs });
}
