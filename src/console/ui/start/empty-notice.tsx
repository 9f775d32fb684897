/** On the overview of an environment without a policy and facts: where to begin. */
import { isEmptyEnvironment } from "../state/environment-content.ts";
import { useLoaded } from "../state/loaded.ts";
import { routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { startTexts as words } from "../texts/start.ts";

/** `environment` is the shown one. */
export function EmptyNotice({ environment }: { readonly environment: string }) {
  const isEmpty = useLoaded(environment, (signal) => isEmptyEnvironment(call, signal));
  // The overview says what is wrong with a node.
  if (isEmpty.data !== true) return null;
  return (
    <section aria-label={words.empty} class="card">
      <h2>{words.empty}</h2>
      <p>{words.emptyHelp}</p>
      <p class="buttons">
        <a href={routeTo("start")}>{words.toSamples}</a>
        <a href={routeTo("policy")}>{words.toPolicy}</a>
        <a href={routeTo("manual", ["language"])}>{words.toManual}</a>
      </p>
    </section>
  );
}
