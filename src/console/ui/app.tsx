/** The frame of the console: the navigation, the account, and the screen of the current address. */
import { useEffect, useState } from "preact/hooks";
import { silentSinceMs } from "./api/node-api.ts";
import { formatAge } from "./components/age.ts";
import { Account, EnvironmentMenu } from "./components/account-menu.tsx";
import { Brand } from "./components/brand.tsx";
import { Heading } from "./components/heading.tsx";
import { Icon } from "./components/icon.tsx";
import { Remote } from "./components/remote.tsx";
import { ThemeMenu } from "./components/theme-menu.tsx";
import { PaletteButton } from "./palette/palette-button.tsx";
import { LoginScreen } from "./screens/login.tsx";
import { LostLoginDialog } from "./screens/lost-login.tsx";
import { forbiddenScreen, type ScreenEntry, screenOf, screens } from "./screens/screen-list.ts";
import { ThrowAwayBanner } from "./share/throw-away-banner.tsx";
import { isArriving } from "./state/arrival.ts";
import { useScreenCode } from "./state/code.ts";
import { useNow } from "./state/now.ts";
import { currentRoute, type Route, routeTo } from "./state/route.ts";
import { type Login, may, session, shownLogin } from "./state/session.ts";
import { useStore } from "./store.ts";
import { texts } from "./texts.ts";

export function App() {
  const current = useStore(session);
  const login = shownLogin(current);
  const route = useStore(currentRoute);
  /** The environment for which the login is open; empty if that is not known. */
  const [wanted, setWanted] = useState<string | undefined>(undefined);
  const isArrivingNow = useStore(isArriving);
  const entry = screenOf(route.screen, login);
  const closeLogin = () => setWanted(undefined);
  return (
    <div class={login === undefined ? "frame" : "frame logged-in"}>
      <a class="skip" href="#content" onClick={focusContent}>
        {texts.skipToContent}
      </a>
      <Sidebar login={login} current={entry} route={route} onOtherEnvironment={setWanted} />
      <div>
        <SilenceBanner />
        {login !== undefined && <ThrowAwayBanner login={login} />}
        <main id="content" tabIndex={-1}>
          {isArrivingNow ? (
            <p role="status">{texts.loggingIn}</p>
          ) : login === undefined ? (
            <LoginScreen />
          ) : wanted !== undefined ? (
            <LoginScreen key={wanted} environment={wanted} onEnd={closeLogin} />
          ) : (
            <>
              {current?.lost !== undefined && <LostLoginDialog {...current.lost} />}
              {entry !== undefined ? (
                <LoadedScreen key={`${entry.name} ${login.who.environment}`} entry={entry} />
              ) : (
                <MissingScreen name={route.screen} login={login} onOtherKey={setWanted} />
              )}
            </>
          )}
        </main>
      </div>
    </div>
  );
}

interface SidebarProps {
  readonly login: Login | undefined;
  readonly current: ScreenEntry | undefined;
  readonly route: Route;
  readonly onOtherEnvironment: (environment: string) => void;
}

/** At the side of wide screens; on phones a bar, whose button opens the rest. */
function Sidebar({ login, current, route, onOtherEnvironment }: SidebarProps) {
  const [isOpen, setIsOpen] = useState(false);
  // A link of the menu closes it.
  useEffect(() => setIsOpen(false), [route]);
  return (
    <header class="sidebar">
      <div class="frame-bar">
        <a class="product" href={routeTo("")}>
          <Brand />
        </a>
        {login !== undefined && (
          <>
            <EnvironmentMenu login={login} onOtherEnvironment={onOtherEnvironment} />
            <button
              type="button"
              class="menu-button icon-button"
              aria-label={texts.menu}
              aria-expanded={isOpen}
              aria-controls="menu"
              onClick={() => setIsOpen(!isOpen)}
            >
              <Icon name="menu" />
            </button>
          </>
        )}
      </div>
      {login === undefined ? (
        <ThemeMenu />
      ) : (
        <div id="menu" class={isOpen ? "frame-menu is-open" : "frame-menu"}>
          <PaletteButton login={login} screens={screens} />
          <Navigation login={login} current={current} />
          <div class="account">
            <ThemeMenu />
            <Account login={login} />
          </div>
        </div>
      )}
    </header>
  );
}

function Navigation({ login, current }: { readonly login: Login; readonly current: ScreenEntry | undefined }) {
  return (
    <nav aria-label={texts.navigation} class="screens">
      <ul>
        {screens
          .filter(({ role, isLinkedOnly }) => may(login, role) && isLinkedOnly !== true)
          .map((entry) => (
            <li key={entry.name}>
              <a href={routeTo(entry.name)} aria-current={entry === current ? "page" : undefined}>
                <Icon name={entry.icon} />
                {entry.title}
              </a>
            </li>
          ))}
      </ul>
    </nav>
  );
}

interface MissingScreenProps {
  readonly name: string;
  readonly login: Login;
  /** Called with the environment that another key is asked for. */
  readonly onOtherKey: (environment: string) => void;
}

/** A screen that does not exist, or needs a stronger key. The address stays, so the screen opens after the login. */
function MissingScreen({ name, login, onOtherKey }: MissingScreenProps) {
  const forbidden = forbiddenScreen(name, login);
  if (forbidden === undefined)
    return (
      <>
        <Heading text={texts.screens.notFound} />
        <p>{texts.screens.notFoundHelp}</p>
      </>
    );
  return (
    <>
      <Heading text={forbidden.title} />
      <p>{texts.screens.forbidden(forbidden.title, forbidden.role, login.who.role)}</p>
      <button type="button" class="primary" onClick={() => onOtherKey(login.who.environment)}>
        {texts.screens.otherKey}
      </button>
    </>
  );
}

function LoadedScreen({ entry: { name, title, load } }: { readonly entry: ScreenEntry }) {
  const code = useScreenCode(name, load);
  return (
    <>
      {code.data === undefined && <Heading text={title} />}
      <Remote of={code} isTimeless>
        {({ default: Loaded }) => <Loaded />}
      </Remote>
    </>
  );
}

/** Says since when the node does not answer. */
function SilenceBanner() {
  const since = useStore(silentSinceMs);
  const nowMs = useNow(since !== undefined);
  return (
    <div role="status" class={since === undefined ? "" : "banner"}>
      {since !== undefined && texts.node.silent(formatAge(since, nowMs))}
    </div>
  );
}

/** A link to a fragment would change the address of the screen. */
function focusContent(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
