/** The login: an API key, or the token of a person. */
import { useRef, useState } from "preact/hooks";
import { messageOf } from "../api/error-text.ts";
import { callNode } from "../api/node-api.ts";
import type { IssuerOfNode } from "../api/responses.ts";
import { Heading } from "../components/heading.tsx";
import { arrivalProblem } from "../state/arrival.ts";
import { startIssuerLogin } from "../state/issuer-login.ts";
import { useLoaded } from "../state/loaded.ts";
import { logIn, WrongEnvironmentError } from "../state/session.ts";
import { loginTexts as words } from "../texts/login.ts";

export interface LoginProps {
  /** The environment that a key is asked for, if this is not the first login. */
  readonly environment?: string | undefined;
  /** Called when the login succeeded, or is not wanted any more. */
  readonly onEnd?: (() => void) | undefined;
}

export function LoginScreen({ environment, onEnd }: LoginProps) {
  return (
    <div class="login">
      <Heading text={words.title} />
      <p>{environment ? words.introductionFor(environment) : words.introduction}</p>
      <LoginForm environment={environment} onEnd={onEnd} />
    </div>
  );
}

/** `only` is an environment: a key of another one is refused. */
export function LoginForm({ environment, only, onEnd }: LoginProps & { readonly only?: string | undefined }) {
  const form = useRef<HTMLFormElement>(null);
  const [isChecking, setIsChecking] = useState(false);
  const [problem, setProblem] = useState<string | undefined>(arrivalProblem.value);
  const issuer = useIssuer();

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(form.current ?? undefined);
    const token = textOf(fields.get("token"));
    if (token === "") return;
    setIsChecking(true);
    setProblem(undefined);
    try {
      await logIn({ token, environment: only ?? (textOf(fields.get("environment")) || undefined) }, only);
      arrivalProblem.set(undefined);
      onEnd?.();
    } catch (error) {
      if (error instanceof WrongEnvironmentError) setProblem(words.wrongEnvironment(error.environment, only ?? ""));
      else setProblem(messageOf(error, words.noAnswer));
    } finally {
      setIsChecking(false);
    }
  };

  return (
    <form ref={form} onSubmit={(event) => void submit(event)}>
      {issuer !== undefined && (
        <IssuerButton issuer={issuer} environmentOf={() => only ?? environmentIn(form.current)} />
      )}
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
      {only === undefined && (
        <>
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
        </>
      )}
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

/** The way to the OIDC issuer of the node. Browsers have no cryptography on pages that are not secure. */
function IssuerButton(props: { readonly issuer: IssuerOfNode; readonly environmentOf: () => string | undefined }) {
  const { issuer, environmentOf } = props;
  const { host } = new URL(issuer.issuer);
  if (!isSecureContext) return <p class="help">{words.issuerNeedsHttps(host)}</p>;
  return (
    <>
      <button type="button" class="primary" onClick={() => void startIssuerLogin(issuer, environmentOf())}>
        {words.issuer(host)}
      </button>
      <p class="help">{words.issuerHelp}</p>
      <p>{words.or}</p>
    </>
  );
}

/** Undefined if the node has no issuer, or none that can be reached. A key is the only way then. */
function useIssuer(): IssuerOfNode | undefined {
  const loaded = useLoaded("issuer", async (signal) => {
    const issuer = (await callNode(undefined, "/api/login", { signal })) as IssuerOfNode;
    return issuer.client_id === null || issuer.authorization_endpoint === null ? undefined : issuer;
  });
  return loaded.data;
}

function environmentIn(form: HTMLFormElement | null): string | undefined {
  return textOf(new FormData(form ?? undefined).get("environment")) || undefined;
}

function textOf(value: FormDataEntryValue | null): string {
  return typeof value === "string" ? value.trim() : "";
}
