/** Marks an environment that was made for a shared question, with the way back. Nothing for other environments. */
import { useState } from "preact/hooks";
import { callNode } from "../api/node-api.ts";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { routeTo } from "../state/route.ts";
import { logOut, may, otherLogins, type Login, showEnvironment } from "../state/session.ts";
import { throwAwayTexts as words } from "../texts/throw-away.ts";
import { kindOf } from "./environment-kind.ts";

export function ThrowAwayBanner({ login }: { readonly login: Login }) {
  const { environment } = login.who;
  const [isAsking, setIsAsking] = useState(false);
  const kind = kindOf(environment);
  if (kind === undefined) return null;
  const others = otherLogins().filter(({ who }) => kindOf(who.environment) === undefined);
  const administrator = others.find((other) => may(other, "admin"));
  const back = (to: string): void => {
    // The question is for this environment only.
    location.hash = routeTo("");
    showEnvironment(to);
  };
  return (
    <aside class="throw-away" aria-label={words.banner(environment)}>
      <strong>{words.banner(environment)}</strong>
      {kind === "throw-away" && <span>{words.bannerThrowAway}</span>}
      {others.map(({ who }) => (
        <button key={who.environment} type="button" onClick={() => back(who.environment)}>
          {words.back(who.environment)}
        </button>
      ))}
      {kind === "hosted" && administrator !== undefined && (
        <button type="button" class="danger" onClick={() => setIsAsking(true)}>
          {words.delete}
        </button>
      )}
      {isAsking && administrator !== undefined && (
        <ConfirmDialog
          title={words.deleteTitle(environment)}
          confirm={words.delete}
          onConfirm={async (_, signal) => {
            await callNode(administrator, `/api/environments/${environment}`, { method: "DELETE", signal });
            logOut();
          }}
          onClose={() => setIsAsking(false)}
        >
          <p>{words.deleteHelp}</p>
        </ConfirmDialog>
      )}
    </aside>
  );
}
