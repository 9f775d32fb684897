/** The login: an API key, or the token of a person. */
import { useRef, useState } from "preact/hooks";
import { NoAnswerError } from "../api/node-api.ts";
import { messageOf } from "../components/failure.tsx";
import { Heading } from "../components/heading.tsx";
import { logIn, logoutReason } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";

export interface LoginProps {
  /** The environment that a key is asked for, if this is not the first login. */
  readonly environment?: string | undefined;
  /** Called when the login succeeded, or is not wanted any more. */
  readonly onEnd?: (() => void) | undefined;
}

export function LoginScreen({ environment, onEnd }: LoginProps) {
  const form = useRef<HTMLFormElement>(null);
  const [isChecking, setIsChecking] = useState(false);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const reason = useStore(logoutReason);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(form.current ?? undefined);
    const token = textOf(fields.get("token"));
    if (token === "") return;
    setIsChecking(true);
    setProblem(undefined);
    try {
      await logIn({ token, environment: textOf(fields.get("environment")) || undefined });
      onEnd?.();
    } catch (error) {
      setProblem(error instanceof NoAnswerError ? texts.login.noAnswer : messageOf(error));
    } finally {
      setIsChecking(false);
    }
  };

  return (
    <form class="login" ref={form} onSubmit={(event) => void submit(event)}>
      <Heading text={texts.login.title} />
      <p>{environment ? texts.login.introductionFor(environment) : texts.login.introduction}</p>
      {reason !== undefined && <p class="failure">{texts.login.ended(reason)}</p>}
      <label for="token">{texts.login.credential}</label>
      <input
        id="token"
        name="token"
        type="password"
        required
        autocomplete="off"
        spellcheck={false}
        aria-describedby="token-help"
      />
      <p id="token-help" class="help">
        {texts.login.credentialHelp}
      </p>
      <label for="environment">{texts.login.environment}</label>
      <input
        id="environment"
        name="environment"
        autocomplete="off"
        spellcheck={false}
        defaultValue={environment ?? ""}
        aria-describedby="environment-help"
      />
      <p id="environment-help" class="help">
        {texts.login.environmentHelp}
      </p>
      <div class="buttons">
        <button type="submit" class="primary" disabled={isChecking}>
          {isChecking ? texts.login.submitting : texts.login.submit}
        </button>
        {onEnd !== undefined && (
          <button type="button" onClick={onEnd}>
            {texts.login.cancel}
          </button>
        )}
      </div>
      <p role="alert" class={problem === undefined ? "" : "failure"}>
        {problem}
      </p>
    </form>
  );
}

function textOf(value: FormDataEntryValue | null): string {
  return typeof value === "string" ? value.trim() : "";
}
