/**
 * The dialog before a policy becomes active: what it would change on this node, then its message. If somebody else has
 * saved another version meanwhile, it shows that version first, and the node refuses to replace a version unseen.
 */
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/node-api.ts";
import { Refusal } from "../components/failure.tsx";
import { useAction } from "../state/action.ts";
import { call, session } from "../state/session.ts";
import { policyTexts } from "../texts/policy.ts";
import { EffectReport, useEffectCheck } from "./effect-report.tsx";
import { verdictOf } from "./effect.ts";
import { otherVersion, type StoredPolicy } from "./files.ts";
import { OtherVersion } from "./other-version.tsx";
import type { ActiveVersion } from "./versions.ts";

const words = policyTexts.save;
/** An upload waits for its turn, and its check takes up to 20 s. */
const timeoutMs = 90_000;

export interface SaveDialogProps {
  readonly title: string;
  readonly help: string;
  readonly reasonLabel: string;
  /** The body of the check: `files`, or `src` and `filename`. */
  readonly checked: object;
  /** The text that would become active. */
  readonly source: string;
  /** The active policy when the changes began; undefined if there was none. */
  readonly base: StoredPolicy | undefined;
  /** The request that saves it: its path and its body without the message. */
  readonly request: { readonly path: string; readonly body: object };
  readonly onSaved: (message: string) => void;
  /** Gives up the changes for those of somebody else. */
  readonly onTakeTheirs: (theirs: StoredPolicy) => void;
  /** Continues with the changes on top of those of somebody else. */
  readonly onGoOn?: (theirs: StoredPolicy) => void;
  readonly onClose: () => void;
}

export function SaveDialog({ title, help, reasonLabel, checked, source, base, request, ...props }: SaveDialogProps) {
  const { onSaved, onTakeTheirs, onGoOn, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [reason, setReason] = useState("");
  const [isForced, setIsForced] = useState(false);
  /** The version of somebody else that may be replaced all the same. */
  const [replaced, setReplaced] = useState<number | undefined>(undefined);
  const check = useEffectCheck();
  const { active } = check;
  const save = useAction();
  useLayoutEffect(() => {
    dialog.current?.showModal();
    check.run(checked);
  }, []);
  const close = (): void => {
    check.cancel();
    dialog.current?.close();
    onClose();
  };
  const end = (choose: (theirs: StoredPolicy) => void, { policy }: ActiveVersion): void => {
    close();
    choose(policy);
  };
  const other = active === undefined ? undefined : otherVersion(base, active);
  const theirs = other?.version.id === replaced ? undefined : other;
  const verdict = verdictOf(check.effect);
  const maySave =
    active !== undefined &&
    theirs === undefined &&
    !check.isRunning &&
    !save.isRunning &&
    (verdict === "failing" ? isForced : verdict !== "broken") &&
    verdict !== "unknown";
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!maySave) return;
    save.run(async (signal) => {
      const query = new URLSearchParams({
        replaces: String(active?.version.id ?? 0),
        ...(isForced && { force: "true" }),
      });
      const body = { ...request.body, ...(reason !== "" && { message: reason }) };
      try {
        const saved = await call(`${request.path}?${query}`, { method: "POST", body, signal, timeoutMs });
        dialog.current?.close();
        onSaved((saved as { readonly message: string }).message);
      } catch (error) {
        // Somebody else was faster.
        if (error instanceof ApiError && error.code === "conflict") check.run(checked);
        throw error;
      }
    });
  };
  const error = save.error ?? check.error;
  return (
    <dialog
      ref={dialog}
      class="wide"
      aria-labelledby={`${id}-title`}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
    >
      <form onSubmit={submit}>
        <h2 id={`${id}-title`}>{title}</h2>
        <p>{help}</p>
        <div class="effect" tabIndex={0} role="region" aria-label={title}>
          {theirs === undefined ? (
            <>
              {other !== undefined && <p>{policyTexts.conflict.replaces(other.version.id)}</p>}
              <EffectReport check={check} source={source} />
            </>
          ) : (
            <OtherVersion theirs={theirs} base={base} source={source} />
          )}
        </div>
        {theirs === undefined && (
          <>
            <label for={`${id}-reason`}>{reasonLabel}</label>
            <input
              id={`${id}-reason`}
              autocomplete="off"
              value={reason}
              onInput={({ currentTarget }) => setReason(currentTarget.value)}
            />
            {verdict === "failing" && (
              <label>
                <input
                  type="checkbox"
                  checked={isForced}
                  onChange={({ currentTarget }) => setIsForced(currentTarget.checked)}
                />{" "}
                {words.force}
              </label>
            )}
          </>
        )}
        <Refusal error={theirs === undefined ? error : undefined} />
        <div class="buttons">
          {theirs === undefined ? (
            <button type="submit" class="primary" disabled={!maySave}>
              {save.isRunning ? words.saving : words.confirm(session.value?.environment ?? "")}
            </button>
          ) : (
            <>
              {onGoOn && (
                <button type="button" class="primary" onClick={() => end(onGoOn, theirs)}>
                  {policyTexts.conflict.goOn}
                </button>
              )}
              <button type="button" onClick={() => end(onTakeTheirs, theirs)}>
                {policyTexts.conflict.takeTheirs}
              </button>
              <button type="button" class="danger" onClick={() => setReplaced(theirs.version.id)}>
                {policyTexts.conflict.saveAnyway}
              </button>
            </>
          )}
          {check.isRunning && (
            <button type="button" onClick={check.cancel}>
              {words.cancel}
            </button>
          )}
          <button type="button" onClick={close}>
            {words.close}
          </button>
        </div>
      </form>
    </dialog>
  );
}
