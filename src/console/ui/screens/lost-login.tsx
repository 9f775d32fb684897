/** The dialog after a lost login: it stays before the screen until somebody logs in again, or leaves the environment. */
import { useEffect, useId, useRef } from "preact/hooks";
import { LoginForm } from "./login.tsx";
import { type LostLogin, logOut, otherLogins, showEnvironment } from "../state/session.ts";
import { loginTexts } from "../texts/login.ts";
import { texts } from "../texts.ts";

const words = loginTexts.lost;

export function LostLoginDialog({ who, reason }: LostLogin) {
  const { environment } = who;
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const show = (): void => dialog.current?.showModal();
  useEffect(() => {
    const shown = dialog.current;
    show();
    // Gives the focus back to the screen.
    return () => shown?.close();
  }, []);
  // `closedby`: a second Escape closes other dialogs, whatever their handler says.
  return (
    <dialog
      ref={dialog}
      aria-labelledby={title}
      onCancel={(event) => event.preventDefault()}
      onClose={show}
      closedby="none"
    >
      <h2 id={title}>{words.title(environment)}</h2>
      <p class="failure">{words.reason(reason)}</p>
      <p>{words.help(environment)}</p>
      <LoginForm only={environment} />
      <div class="buttons">
        {otherLogins().map((other) => (
          <button key={other.who.environment} type="button" onClick={() => showEnvironment(other.who.environment)}>
            {words.show(other.who.environment)}
          </button>
        ))}
        <button type="button" onClick={logOut}>
          {texts.account.logOut}
        </button>
      </div>
    </dialog>
  );
}
