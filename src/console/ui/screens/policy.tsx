/** The policy: its editor, its versions, one of them, and the differences of two. */
import { Heading } from "../components/heading.tsx";
import { EditorPage } from "../policy/editor-page.tsx";
import { DiffPage, HistoryPage, VersionPage } from "../policy/history-page.tsx";
import { currentRoute, routeTo } from "../state/route.ts";
import { shownLogin, type Login } from "../state/session.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { policyTexts } from "../texts/policy.ts";

export default function PolicyScreen() {
  const login = shownLogin();
  const { parts } = useStore(currentRoute);
  const [view = ""] = parts;
  if (login === undefined) return null;
  return (
    <>
      <div class="policy-head">
        <Heading text={policyTexts.title} />
        <nav class="tabs" aria-label={policyTexts.views}>
          <ul>
            <li>
              <a href={routeTo("policy")} aria-current={view === "" ? "page" : undefined}>
                {policyTexts.editor}
              </a>
            </li>
            <li>
              <a href={routeTo("policy", ["history"])} aria-current={view === "history" ? "page" : undefined}>
                {policyTexts.history}
              </a>
            </li>
            <li>
              <a href={routeTo("model")}>{texts.screens.model}</a>
            </li>
          </ul>
        </nav>
      </div>
      <View login={login} parts={parts} />
    </>
  );
}

function View({ login, parts }: { readonly login: Login; readonly parts: readonly string[] }) {
  const [view, first = "", second = ""] = parts;
  if (view === "diff") return <DiffPage from={Number(first)} to={Number(second)} />;
  if (view === "version") return <VersionPage key={first} login={login} id={Number(first)} />;
  return view === "history" ? <HistoryPage login={login} /> : <EditorPage login={login} />;
}
