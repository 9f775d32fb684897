/** The dialog before a policy becomes active: what it would change on this node, then its message. */
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Refusal } from "../components/failure.tsx";
import { useAction } from "../state/action.ts";
import { call, session } from "../state/session.ts";
import { policyTexts } from "../texts/policy.ts";
import { EffectReport, useEffectCheck } from "./effect-report.tsx";
import { verdictOf } from "./effect.ts";
import type { StoredPolicy } from "./files.ts";

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
  /** The active policy when the changes began; undefined if that does not matter. */
  readonly base: StoredPolicy | undefined;
  /** The request that saves it: its path and its body without the message. */
  readonly request: { readonly path: string; readonly body: object };
  readonly onSaved: (message: string) => void;
  readonly onClose: () => void;
}

export function SaveDialog({ title, help, reasonLabel, checked, source, base, request, ...props }: SaveDialogProps) {
  const { onSaved, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [reason, setReason] = useState("");
  const [isForced, setIsForced] = useState(false);
  const check = useEffectCheck();
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
  const verdict = verdictOf(check.effect);
  const maySave =
    !check.isRunning &&
    !save.isRunning &&
    (verdict === "failing" ? isForced : verdict !== "broken") &&
    verdict !== "unknown";
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!maySave) return;
    save.run(async (signal) => {
      const path = `${request.path}${isForced ? "?force=true" : ""}`;
      const body = { ...request.body, ...(reason !== "" && { message: reason }) };
      const { message } = (await call(path, { method: "POST", body, signal, timeoutMs })) as {
        readonly message: string;
      };
      dialog.current?.close();
      onSaved(message);
    });
  };
  const error = save.error ?? check.error;
  const isMoved = base !== undefined && check.active !== undefined && check.active.src !== base.src;
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
          {isMoved && <p class="failure">{words.moved}</p>}
          <EffectReport check={check} source={source} />
        </div>
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
        <Refusal error={error} />
        <div class="buttons">
          <button type="submit" class="primary" disabled={!maySave}>
            {save.isRunning ? words.saving : words.confirm(session.value?.environment ?? "")}
          </button>
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
