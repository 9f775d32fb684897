/** The login: an API key, or the token of a person. */
import { useRef, useState } from "preact/hooks";
import { NoAnswerError } from "../api/node-api.ts";
import { messageOf } from "../components/failure.tsx";
import { Heading } from "../components/heading.tsx";
import { logIn, logoutReason } from "../state/session.ts";
import { useStore } from "../store.ts";
import { loginTexts as words } from "../texts/login.ts";

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
      setProblem(error instanceof NoAnswerError ? words.noAnswer : messageOf(error));
    } finally {
      setIsChecking(false);
    }
  };

  return (
    <form class="login" ref={form} onSubmit={(event) => void submit(event)}>
      <Heading text={words.title} />
      <p>{environment ? words.introductionFor(environment) : words.introduction}</p>
      {reason !== undefined && <p class="failure">{words.ended(reason)}</p>}
      <label for="token">{words.credential}</label>
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
        {words.credentialHelp}
      </p>
      <label for="environment">{words.environment}</label>
      <input
        id="environment"
        name="environment"
        autocomplete="off"
        spellcheck={false}
        defaultValue={environment ?? ""}
        aria-describedby="environment-help"
      />
      <p id="environment-help" class="help">
        {words.environmentHelp}
      </p>
      <div class="buttons">
        <button type="submit" class="primary" disabled={isChecking}>
          {isChecking ? words.submitting : words.submit}
        </button>
        {onEnd !== undefined && (
          <button type="button" onClick={onEnd}>
            {words.cancel}
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
