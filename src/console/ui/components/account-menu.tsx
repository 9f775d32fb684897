/** The shown environment and the way to another one, and who is logged in. */
import type { Environment } from "../api/responses.ts";
import { usePolled } from "../state/polled.ts";
import { call, type Login, logIn, logOut, may, session, showEnvironment } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { Icon } from "./icon.tsx";

const words = texts.account;
const intervalMs = 30_000;
/** The choice of an environment that the console does not know. No id has a space. */
const other = " other";

export interface EnvironmentMenuProps {
  readonly login: Login;
  /** Called with the environment that needs a login, or an empty text if its id is not known. */
  readonly onOtherEnvironment: (environment: string) => void;
}

export function EnvironmentMenu({ login, onOtherEnvironment }: EnvironmentMenuProps) {
  const { who } = login;
  const known = useStore(session)?.logins.map(({ who }) => who.environment) ?? [];
  const listed = usePolled(may(login, "admin") ? `${who.environment} ${who.id}` : undefined, intervalMs, (signal) =>
    listEnvironments(signal),
  );
  const active = (listed.data ?? []).filter(({ state }) => state === "active").map(({ id }) => id);
  const all = [...new Set([who.environment, ...known, ...active])];

  const choose = (environment: string): void => {
    if (environment === other) onOtherEnvironment("");
    else if (known.includes(environment)) showEnvironment(environment);
    // The token of a person is for all environments.
    else if (who.kind === "person")
      void logIn({ token: login.token, environment }).catch(() => onOtherEnvironment(environment));
    else onOtherEnvironment(environment);
  };

  return (
    <select
      class={`environment colour-${colourOf(who.environment)}`}
      aria-label={words.environment}
      value={who.environment}
      onChange={({ currentTarget }) => {
        const { value } = currentTarget;
        // The choice takes effect with the login.
        currentTarget.value = who.environment;
        choose(value);
      }}
    >
      {all.map((id) => (
        <option key={id} value={id}>
          {id === who.environment || known.includes(id) || who.kind === "person" ? id : words.withoutLogin(id)}
        </option>
      ))}
      <option value={other}>{words.otherEnvironment}</option>
    </select>
  );
}

export function Account({ login: { who } }: { readonly login: Login }) {
  return (
    <>
      <span class="who">{words.who(who.name ?? who.id, who.role)}</span>
      <button type="button" onClick={() => logOut()}>
        <Icon name="logOut" />
        {words.logOut}
      </button>
    </>
  );
}

/** One of the colours of the style sheet, always the same for an environment. */
function colourOf(environment: string): number {
  let sum = 0;
  for (const character of environment) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 6;
  return sum;
}

async function listEnvironments(signal: AbortSignal): Promise<readonly Environment[]> {
  const answer = await call("/api/environments", { signal });
  return (answer as { readonly environments: readonly Environment[] }).environments;
}
