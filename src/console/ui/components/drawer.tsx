/**
 * A sheet at the right side of the window, for one entry of a list that keeps its place behind it. On phones it has the
 * whole width. Escape closes it, and the focus goes back to the control that opened it.
 */
import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { dialogTexts } from "../texts/dialog.ts";
import { Icon } from "./icon.tsx";

export interface DrawerProps {
  readonly title: string;
  readonly children: ComponentChildren;
  readonly onClose: () => void;
}

export function Drawer({ title, children, onClose }: DrawerProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    // Gives the focus back.
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="drawer"
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      // A click beside the sheet is on the dialog itself.
      onClick={({ target, currentTarget }) => target === currentTarget && onClose()}
    >
      <div class="drawer-content">
        <div class="drawer-head">
          <h2 id={id}>{title}</h2>
          <button type="button" class="quiet icon-button" aria-label={dialogTexts.close} onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
        {children}
      </div>
    </dialog>
  );
}
