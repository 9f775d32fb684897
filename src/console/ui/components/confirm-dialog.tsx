/** A dialog that asks before something that cannot be undone, or takes what it needs. It shows why the node refused. */
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useAction } from "../state/action.ts";
import { dialogTexts } from "../texts/dialog.ts";
import { Refusal } from "./failure.tsx";

export interface ConfirmDialogProps {
  readonly title: string;
  /** The label of the button that does it. */
  readonly confirm: string;
  /** Whether it takes something away. */
  readonly isDestructive?: boolean;
  /** A text that has to be typed first. */
  readonly typed?: string;
  readonly children: ComponentChildren;
  /** The dialog closes when it resolves. */
  readonly onConfirm: (fields: FormData, signal: AbortSignal) => Promise<void>;
  readonly onClose: () => void;
}

export function ConfirmDialog({
  title,
  confirm,
  isDestructive = false,
  typed,
  children,
  onConfirm,
  onClose,
}: ConfirmDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const [given, setGiven] = useState("");
  const { isRunning, error, run } = useAction();
  const id = useId();
  useLayoutEffect(() => {
    // Only an open dialog of this kind keeps the focus inside.
    dialog.current?.showModal();
  }, []);
  const close = (): void => {
    // The focus goes back to the control that opened it.
    dialog.current?.close();
    onClose();
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    if (typed !== undefined && given !== typed) return;
    const fields = new FormData(form.current ?? undefined);
    run(async (signal) => {
      await onConfirm(fields, signal);
      close();
    });
  };
  return (
    <dialog
      ref={dialog}
      aria-labelledby={`${id}-title`}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
    >
      <form ref={form} onSubmit={submit}>
        <h2 id={`${id}-title`}>{title}</h2>
        {children}
        {typed !== undefined && (
          <>
            <label for={`${id}-typed`}>{dialogTexts.type(typed)}</label>
            <input
              id={`${id}-typed`}
              autocomplete="off"
              spellcheck={false}
              value={given}
              onInput={({ currentTarget }) => setGiven(currentTarget.value)}
            />
          </>
        )}
        <Refusal error={error} />
        <div class="buttons">
          <button
            type="submit"
            class={isDestructive ? "primary danger" : "primary"}
            disabled={isRunning || (typed !== undefined && given !== typed)}
          >
            {isRunning ? dialogTexts.running : confirm}
          </button>
          <button type="button" onClick={close}>
            {dialogTexts.cancel}
          </button>
        </div>
      </form>
    </dialog>
  );
}
