/** What a draft would change on this node: the check of the node, and how it is shown before and while saving. */
import { useState } from "preact/hooks";
import { useAction } from "../state/action.ts";
import { open } from "../state/session.ts";
import { policyTexts } from "../texts/policy.ts";
import { EffectView } from "./effect-view.tsx";
import { type PolicyEffect, readEffect, verdictOf } from "./effect.ts";
import { LazyDiff } from "./lazy-diff.tsx";
import { type ActiveVersion, readActive } from "./versions.ts";

const words = policyTexts.save;
const sampledDecisions = 500;

export interface EffectCheck {
  readonly effect: PolicyEffect;
  /** The active version with which the draft was compared; null if there was none. */
  readonly active: ActiveVersion | null | undefined;
  readonly isRunning: boolean;
  readonly error: unknown;
  /** `checked` is the body of the check: `files`, or `src` and `filename`. */
  readonly run: (checked: object) => void;
  readonly cancel: () => void;
}

export function useEffectCheck(): EffectCheck {
  const [effect, setEffect] = useState<PolicyEffect>({});
  const [active, setActive] = useState<ActiveVersion | null | undefined>(undefined);
  const { run, ...action } = useAction();
  return {
    effect,
    active,
    ...action,
    run: (checked) =>
      run(async (signal) => {
        setEffect({});
        setActive((await readActive(signal)) ?? null);
        const body = { ...checked, decisions: sampledDecisions };
        const answer = await open("/api/policy_effect", { accept: "text/event-stream", signal, body });
        if (answer.body !== null) await readEffect(answer.body, setEffect);
      }),
  };
}

/** `source` is the text that would become active. */
export function EffectReport({ check, source }: { readonly check: EffectCheck; readonly source: string }) {
  const { effect, active, isRunning } = check;
  return (
    <>
      <p role="status">
        <strong>{words.verdicts[verdictOf(effect)]}</strong>
      </p>
      <EffectView effect={effect} isRunning={isRunning} />
      {active && active.policy.src !== source && (
        <details>
          <summary>{words.differences}</summary>
          <LazyDiff label={words.differences} from={active.policy.src} to={source} />
        </details>
      )}
    </>
  );
}
